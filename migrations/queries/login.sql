-- Someone logs in, however they spell their address.
-- index: users_login_idx
-- arguments: SELECT upper(email) FROM users WHERE status = 'active' ORDER BY id LIMIT 100
SELECT id, email, full_name, role, timezone, password_hash, settings
FROM users
WHERE lower(email) = lower($1) AND status = 'active';
