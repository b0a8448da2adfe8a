-- Leads who care about all of several things.
-- index: leads_interests_idx
-- arguments: SELECT ARRAY['analytics', 'compliance', other] FROM unnest(ARRAY['mobile app', 'reporting', 'scheduling']) AS other
SELECT id, first_name, last_name, company, score
FROM leads
WHERE metadata -> 'interests' ?& $1
ORDER BY score DESC, id
LIMIT 25;
