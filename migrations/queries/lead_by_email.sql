-- The lead who wrote an e-mail: providers do not agree on upper and lower case.
-- index: leads_lower_email_idx
-- arguments: SELECT upper(email) FROM leads ORDER BY id LIMIT 100
SELECT id, owner_id, first_name, last_name, company, status, score
FROM leads
WHERE lower(email) = lower($1);
