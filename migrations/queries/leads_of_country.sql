-- The newest leads of a country.
-- index: leads_country_created_idx
-- arguments: SELECT DISTINCT country FROM leads ORDER BY country
SELECT id, first_name, last_name, company, status, created_at
FROM leads
WHERE country = $1
ORDER BY created_at DESC
LIMIT 25;
