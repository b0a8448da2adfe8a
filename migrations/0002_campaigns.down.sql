-- Removes campaigns and their steps, children first.
DROP TABLE campaign_steps;
DROP TABLE campaigns;
