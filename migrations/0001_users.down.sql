-- Removes the people. The tables that refer to them have gone before.
DROP TABLE users;
