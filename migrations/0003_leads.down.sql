-- Removes leads and their enrolments, children first.
DROP TABLE lead_campaigns;
DROP TABLE leads;
