-- The pool of leads that nobody has taken.
-- index: leads_unassigned_idx
-- arguments: none
SELECT id, first_name, last_name, company, score, created_at
FROM leads
WHERE owner_id IS NULL
ORDER BY score DESC, created_at
LIMIT 25;
