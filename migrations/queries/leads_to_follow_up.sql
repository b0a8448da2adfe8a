-- Leads of a user who have heard nothing for the longest time.
-- index: leads_follow_up_idx
-- arguments: SELECT owner_id, '2026-01-01 00:00Z' FROM leads WHERE owner_id IS NOT NULL GROUP BY owner_id ORDER BY owner_id LIMIT 100
SELECT id, first_name, last_name, company, status, last_contacted_at
FROM leads
WHERE owner_id = $1 AND status IN ('contacted', 'qualified', 'proposal') AND last_contacted_at < $2
ORDER BY last_contacted_at
LIMIT 10;
