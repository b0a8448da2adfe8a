-- Removes the switches.
DROP TABLE feature_flags;
