-- The search field: words of a name, a company or a post.
-- index: leads_search_idx
-- arguments: SELECT last_name || ' ' || split_part(company, ' ', 1) FROM leads ORDER BY id LIMIT 100
SELECT id, first_name, last_name, company, job_title, score
FROM leads
WHERE to_tsvector('english', first_name || ' ' || last_name || ' ' || company || ' ' || job_title) @@ plainto_tsquery('english', $1)
ORDER BY score DESC, id
LIMIT 25;
