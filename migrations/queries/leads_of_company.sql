-- Everybody we know at a company.
-- index: leads_company_idx
-- arguments: SELECT upper(company) FROM leads ORDER BY id LIMIT 100
SELECT id, first_name, last_name, job_title, status, score
FROM leads
WHERE lower(company) = lower($1)
ORDER BY score DESC
LIMIT 50;
