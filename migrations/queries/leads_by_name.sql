-- A lead by name, as typed on the telephone.
-- index: leads_name_idx
-- arguments: SELECT upper(last_name), lower(first_name) FROM leads ORDER BY id LIMIT 100
SELECT id, first_name, last_name, company, phone
FROM leads
WHERE lower(last_name) = lower($1) AND lower(first_name) = lower($2);
