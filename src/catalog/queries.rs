//! The queries that read a snapshot from PostgreSQL's system catalogs.
//!
//! They run on every version from 13 to 18, with `search_path = pg_catalog`. Objects below 16384
//! (`FirstNormalObjectId`) are those `initdb` made.
//!
//! <https://www.postgresql.org/docs/current/catalogs.html>

/// Relations outside the system schemas. A temporary one is known to its own session only, and there it is not cached.
pub(super) const RELATIONS: &str = "
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relrowsecurity,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('f', 'm', 'p', 'r', 'S', 'v') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('information_schema', 'pg_catalog', 'pg_toast')";

pub(super) const SYSTEM_RELATIONS: &str = "
SELECT DISTINCT c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('f', 'm', 'p', 'r', 'S', 'v') AND n.nspname IN ('information_schema', 'pg_catalog')";

pub(super) const INHERITANCE: &str = "
SELECT i.inhparent, i.inhrelid
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE c.relkind IN ('f', 'p', 'r') AND c.relpersistence <> 't'";

pub(super) const FOREIGN_KEYS: &str = "
SELECT DISTINCT conrelid, confrelid, confupdtype::text, confdeltype::text
FROM pg_constraint WHERE contype = 'f'";

/// The server's own trigger functions keep foreign keys, which are known from `pg_constraint`, or change one row.
pub(super) const TRIGGERS: &str = "
SELECT tgrelid, tgfoid, tgtype::int4, array_remove(ARRAY[tgoldtable::text, tgnewtable::text], NULL)
FROM pg_trigger WHERE tgenabled <> 'D' AND tgfoid >= 16384";

/// Rewrite rules, but for those of views.
pub(super) const RULES: &str = "
SELECT ev_class, ev_type::text, pg_get_ruledef(oid)
FROM pg_rewrite WHERE ev_type <> '1' AND ev_enabled <> 'D' AND ev_class >= 16384";

/// Users' functions that relations depend on, themselves or through an operator.
pub(super) const EXPRESSIONS: &str = "
WITH used AS MATERIALIZED (
  SELECT classid, objid, refobjid AS function FROM pg_depend
  WHERE refclassid = 'pg_proc'::regclass AND refobjid >= 16384
  UNION
  SELECT d.classid, d.objid, o.oprcode::oid
  FROM pg_depend d JOIN pg_operator o ON o.oid = d.refobjid
  WHERE d.refclassid = 'pg_operator'::regclass AND o.oprcode::oid >= 16384
)
SELECT a.adrelid, u.function FROM used u JOIN pg_attrdef a ON a.oid = u.objid
WHERE u.classid = 'pg_attrdef'::regclass
UNION
SELECT c.conrelid, u.function FROM used u JOIN pg_constraint c ON c.oid = u.objid
WHERE u.classid = 'pg_constraint'::regclass AND c.conrelid <> 0
UNION
SELECT p.polrelid, u.function FROM used u JOIN pg_policy p ON p.oid = u.objid
WHERE u.classid = 'pg_policy'::regclass
UNION
SELECT coalesce(i.indrelid, u.objid), u.function FROM used u LEFT JOIN pg_index i ON i.indexrelid = u.objid
WHERE u.classid = 'pg_class'::regclass";

/// The types of columns, and of what their defaults and checks mention, unless they are on the list of plain types ($1).
/// An array counts as its elements.
pub(super) const COLUMN_TYPES: &str = "
WITH used AS (
  SELECT a.attrelid AS relation, a.atttypid AS type
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
    AND c.relkind IN ('f', 'm', 'p', 'r', 'v') AND c.relpersistence <> 't'
  UNION
  SELECT a.adrelid, d.refobjid FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
  WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_type'::regclass
  UNION
  SELECT c.conrelid, d.refobjid FROM pg_depend d JOIN pg_constraint c ON c.oid = d.objid
  WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_type'::regclass AND c.conrelid <> 0
)
SELECT DISTINCT u.relation, coalesce(e.oid, t.oid)
FROM used u JOIN pg_type t ON t.oid = u.type
LEFT JOIN pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem
WHERE coalesce(e.typnamespace, t.typnamespace) <> 'pg_catalog'::regnamespace
   OR NOT coalesce(e.typname, t.typname)::text = ANY ($1)";

pub(super) const DATE_COLUMNS: &str = "
SELECT a.attname::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
  AND c.relkind IN ('c', 'f', 'm', 'p', 'r', 'v')
GROUP BY a.attname
HAVING bool_and(t.typcategory = 'D' AND t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace)";

/// Overloads that share their properties are one row; the number of arguments of an IMMUTABLE one does not matter.
pub(super) const BUILT_IN_FUNCTIONS: &str = "
SELECT DISTINCT proname::text, provolatile::text,
  CASE WHEN provolatile = 'i' THEN 0
       ELSE pronargs - pronargdefaults - (CASE WHEN provariadic <> 0 THEN 1 ELSE 0 END) END::int4,
  CASE WHEN provolatile = 'i' OR provariadic <> 0 THEN NULL ELSE pronargs END::int4
FROM pg_proc
WHERE oid < 16384 AND pronamespace = 'pg_catalog'::regnamespace AND prokind <> 'p'";

/// Users' functions and procedures. An aggregate is as volatile as the worst of the server's own functions that it is
/// made of ('i' < 's' < 'v'); users' functions among them are its parts.
pub(super) const FUNCTIONS: &str = "
SELECT p.oid, n.nspname::text, p.proname::text,
  CASE WHEN a.aggfnoid IS NULL THEN p.provolatile::text ELSE (
    SELECT coalesce(max(s.provolatile::text), 'i') FROM pg_proc s
    WHERE s.oid < 16384 AND s.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                    a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)) END,
  CASE WHEN a.aggfnoid IS NULL THEN l.lanname::text ELSE 'aggregate' END,
  p.pronargs::int4, p.pronargdefaults::int4, p.provariadic <> 0,
  EXISTS (SELECT FROM pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype IN ('c', 'd', 'p')),
  ARRAY(SELECT t.oid FROM unnest(p.proargtypes::oid[] || p.prorettype) AS used (type)
        JOIN pg_type t ON t.oid = used.type
        LEFT JOIN pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem
        WHERE used.type >= 16384 AND coalesce(e.typtype, t.typtype) <> 'c'),
  ARRAY(SELECT s.oid FROM pg_proc s
        WHERE s.oid >= 16384
          AND s.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                        a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)),
  CASE WHEN l.lanname IN ('plpgsql', 'sql') AND p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.oid >= 16384 OR n.nspname <> 'pg_catalog'";

/// Operators that run one of the server's own IMMUTABLE functions, and those that `initdb` made.
pub(super) const BUILT_IN_OPERATORS: &str = "
SELECT DISTINCT o.oprname::text
FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oid < 16384 OR (p.oid < 16384 AND p.provolatile = 'i')";

pub(super) const OPERATORS: &str = "
SELECT o.oprname::text, p.oid,
  coalesce(l.typcategory = 'S', true) AND coalesce(r.typcategory = 'S', true)
FROM pg_operator o
JOIN pg_proc p ON p.oid = o.oprcode
LEFT JOIN pg_type l ON l.oid = o.oprleft
LEFT JOIN pg_type r ON r.oid = o.oprright
WHERE o.oid >= 16384 AND NOT (p.oid < 16384 AND p.provolatile = 'i')";

/// Types but for the rows of tables, with what they are made of and the users' functions they run.
pub(super) const TYPES: &str = "
WITH checks AS (
  SELECT c.contypid AS type, d.refobjid AS function
  FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
  WHERE c.contypid <> 0 AND d.refclassid = 'pg_proc'::regclass AND d.refobjid >= 16384
  UNION
  SELECT c.contypid, o.oprcode::oid
  FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
  JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  WHERE c.contypid <> 0 AND o.oprcode::oid >= 16384
  UNION
  SELECT objid, refobjid FROM pg_depend
  WHERE classid = 'pg_type'::regclass AND refclassid = 'pg_proc'::regclass AND refobjid >= 16384
)
SELECT t.oid, n.nspname::text, t.typname::text,
  CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::text END,
  CASE
    WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN ARRAY[t.typelem]
    WHEN t.typtype = 'd' THEN ARRAY[t.typbasetype]
    WHEN t.typtype = 'r' THEN ARRAY(SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid)
    WHEN t.typtype = 'c' THEN ARRAY(SELECT a.atttypid FROM pg_attribute a
                                    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    ELSE ARRAY[]::oid[]
  END,
  ARRAY(SELECT c.function FROM checks c WHERE c.type = t.oid)
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_class c ON c.oid = CASE WHEN e.typtype = 'c' THEN e.typrelid ELSE t.typrelid END
WHERE c.oid IS NULL OR c.relkind = 'c'";

/// Users' functions that run where no statement names them. Sorting and hashing use btree and hash classes only.
///
/// So do users' casts with a function of the server's that is not IMMUTABLE, and those that need not be written and read
/// the value from text, but for types whose text means the same every time ($1): they have no function, which is 0.
pub(super) const IMPLICIT_FUNCTIONS: &str = "
SELECT castfunc FROM pg_cast WHERE castfunc >= 16384
UNION
SELECT c.castfunc FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
WHERE c.oid >= 16384 AND c.castfunc < 16384 AND p.provolatile <> 'i'
UNION
SELECT c.castfunc FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget
WHERE c.oid >= 16384 AND c.castmethod = 'i' AND c.castcontext <> 'e' AND t.typtype <> 'e'
  AND NOT (t.typtype = 'b' AND t.typcategory <> 'D' AND t.typnamespace = 'pg_catalog'::regnamespace
           AND t.typname::text = ANY ($1))
UNION
SELECT p.amproc::oid FROM pg_amproc p
JOIN pg_opfamily f ON f.oid = p.amprocfamily JOIN pg_am m ON m.oid = f.opfmethod
WHERE p.amproc::oid >= 16384 AND m.amname IN ('btree', 'hash')
UNION
SELECT o.oprcode::oid FROM pg_amop p
JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_am m ON m.oid = p.amopmethod
WHERE o.oprcode::oid >= 16384 AND m.amname IN ('btree', 'hash')";

/// Defaults and checks that call a function, which the server's own functions may make of consequence.
pub(super) const COLUMN_EXPRESSIONS: &str = "
SELECT relation, expression
FROM (SELECT adrelid AS relation, pg_get_expr(adbin, adrelid) AS expression FROM pg_attrdef
      UNION
      SELECT conrelid, pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0
      UNION
      SELECT attrelid, 'nextval(NULL)' FROM pg_attribute WHERE attidentity <> '' AND attrelid >= 16384) used
WHERE expression ~ '[a-z0-9_\"][(]'";

/// Relations with columns that are times of day, or may hold one.
pub(super) const TIMES_OF_DAY: &str = "
SELECT DISTINCT a.attrelid
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
  AND c.relkind IN ('f', 'm', 'p', 'r', 'v') AND c.relpersistence <> 't'
  AND (coalesce(e.oid, t.oid) IN ('time'::regtype, 'timetz'::regtype)
       OR coalesce(e.typtype, t.typtype) = 'c'
       OR coalesce(e.typtype, t.typtype) = 'd' AND coalesce(e.typcategory, t.typcategory) IN ('A', 'C', 'D'))";

/// The functions of event triggers.
pub(super) const EVENT_TRIGGERS: &str =
    "SELECT evtfoid FROM pg_event_trigger WHERE evtenabled <> 'D'";
