//! What is known by heart of PostgreSQL's own functions and types, and of a few that every second database installs.
//!
//! Invariant: a name is only on a list of harmless things after its manual and its source were considered. What is on
//! no list counts as dangerous, so a function that a later version adds is forwarded, not trusted. Volatility comes
//! from the server's `pg_proc`; the lists decide what its three letters cannot tell.

use super::session::SessionEffect;

/// Built-in STABLE functions that depend on their arguments, the session's settings and the catalog alone.
///
/// A result is cached under the settings of its session and the version of the catalog, so these are safe. `now()` and
/// its family, `age(timestamptz)`, the privilege inquiries and whatever reads other sessions are not here.
const SETTINGS_ONLY: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "time",
    "timestamp",
    "timestamptz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
    "xml",
    "xml_is_well_formed",
];

/// Built-in VOLATILE functions that write no table and run no code of the database.
const WRITES_NOTHING: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_blocking_pids",
    "pg_cancel_backend",
    "pg_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_create_restore_point",
    "pg_current_logfile",
    "pg_current_snapshot",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_export_snapshot",
    "pg_get_backend_memory_contexts",
    "pg_get_multixact_members",
    "pg_get_shmem_allocations",
    "pg_get_wal_replay_pause_state",
    "pg_get_wal_resource_managers",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_log_backend_memory_contexts",
    "pg_log_standby_snapshot",
    "pg_logical_emit_message",
    "pg_ls_archive_statusdir",
    "pg_ls_dir",
    "pg_ls_logdir",
    "pg_ls_logicalmapdir",
    "pg_ls_logicalsnapdir",
    "pg_ls_replslotdir",
    "pg_ls_tmpdir",
    "pg_ls_waldir",
    "pg_notification_queue_usage",
    "pg_notify",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_relation_size",
    "pg_rotate_logfile",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_show_all_file_settings",
    "pg_show_replication_origin_status",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_stat_file",
    "pg_stat_force_next_flush",
    "pg_stat_get_recovery_prefetch",
    "pg_stat_get_xact_blocks_fetched",
    "pg_stat_get_xact_blocks_hit",
    "pg_stat_get_xact_function_calls",
    "pg_stat_get_xact_function_self_time",
    "pg_stat_get_xact_function_total_time",
    "pg_stat_get_xact_numscans",
    "pg_stat_get_xact_tuples_deleted",
    "pg_stat_get_xact_tuples_fetched",
    "pg_stat_get_xact_tuples_hot_updated",
    "pg_stat_get_xact_tuples_inserted",
    "pg_stat_get_xact_tuples_newpage_updated",
    "pg_stat_get_xact_tuples_returned",
    "pg_stat_get_xact_tuples_updated",
    "pg_stat_have_stats",
    "pg_stat_reset",
    "pg_stat_reset_shared",
    "pg_stat_reset_single_function_counters",
    "pg_stat_reset_single_table_counters",
    "pg_stat_reset_slru",
    "pg_switch_wal",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_terminate_backend",
    "pg_total_relation_size",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "random",
    "random_normal",
    "set_config",
    "setseed",
    "setval",
    "timeofday",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// Built-in functions that read or write large objects.
const LARGE_OBJECTS: &[&str] = &[
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_get",
    "lo_import",
    "lo_lseek",
    "lo_lseek64",
    "lo_open",
    "lo_put",
    "lo_tell",
    "lo_tell64",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "loread",
    "lowrite",
];

/// Built-in functions that are not VOLATILE and yet run a query or a type's own code that they are given as text.
const RUNS_TEXT: &[&str] = &[
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "pg_input_error_info",
    "pg_input_is_valid",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
];

/// Functions of contrib modules, written in C, that only make a value.
const MAKES_A_VALUE: &[&str] = &[
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "show_limit",
    "unaccent",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
];

/// Functions of contrib modules that are called IMMUTABLE and yet set or show something of the session.
const KEEPS_STATE: &[&str] = &["isn_weak"];

/// Trigger functions of contrib modules, written in C, that change only columns of the row they are fired for.
const CHANGES_ITS_ROW: &[&str] = &["insert_username", "moddatetime"];

/// Built-in types whose text means the same to everybody, given the settings.
///
/// Not here: the `reg` types and `aclitem` (they look names up), `timetz` (its offset depends on today's date),
/// `refcursor`, and the types of the system catalogs.
const PLAIN_TYPES: &[&str] = &[
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "uuid",
    "varbit",
    "varchar",
    "xml",
];

pub(super) fn depends_on_settings_only(name: &str) -> bool {
    SETTINGS_ONLY.binary_search(&name).is_ok()
}

pub(super) fn writes_nothing(name: &str) -> bool {
    WRITES_NOTHING.binary_search(&name).is_ok()
}

pub(super) fn handles_large_objects(name: &str) -> bool {
    LARGE_OBJECTS.binary_search(&name).is_ok()
}

pub(super) fn runs_text(name: &str) -> bool {
    RUNS_TEXT.binary_search(&name).is_ok()
}

pub(super) fn makes_a_value(name: &str) -> bool {
    MAKES_A_VALUE.binary_search(&name).is_ok()
}

pub(super) fn keeps_state(name: &str) -> bool {
    KEEPS_STATE.binary_search(&name).is_ok()
}

pub(super) fn changes_its_row(name: &str) -> bool {
    CHANGES_ITS_ROW.binary_search(&name).is_ok()
}

/// The built-in types whose text means the same to everybody, sorted.
pub(crate) const fn plain_types() -> &'static [&'static str] {
    PLAIN_TYPES
}

/// What a call of the built-in function `name` leaves behind in its session. `set_config` depends on its arguments.
pub(super) fn session_effect(name: &str) -> Option<SessionEffect> {
    match name {
        "currval" | "lastval" => Some(SessionEffect::Sequence),
        "nextval" | "setval" => Some(SessionEffect::SequenceDraw),
        "pg_advisory_lock"
        | "pg_advisory_lock_shared"
        | "pg_advisory_unlock"
        | "pg_advisory_unlock_shared"
        | "pg_try_advisory_lock"
        | "pg_try_advisory_lock_shared" => Some(SessionEffect::AdvisoryLock),
        "inet_client_addr"
        | "inet_client_port"
        | "pg_backend_pid"
        | "pg_current_snapshot"
        | "pg_current_xact_id"
        | "pg_current_xact_id_if_assigned"
        | "pg_export_snapshot"
        | "pg_my_temp_schema"
        | "txid_current"
        | "txid_current_if_assigned"
        | "txid_current_snapshot" => Some(SessionEffect::SessionIdentity),
        "setseed" => Some(SessionEffect::RandomSeed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_sorted_for_the_search() {
        for list in [
            SETTINGS_ONLY,
            WRITES_NOTHING,
            LARGE_OBJECTS,
            RUNS_TEXT,
            MAKES_A_VALUE,
            KEEPS_STATE,
            CHANGES_ITS_ROW,
            PLAIN_TYPES,
        ] {
            assert!(list.is_sorted_by(|left, right| left < right), "{list:?}");
        }
    }

    #[test]
    fn what_moves_is_not_trusted() {
        for name in [
            "now",
            "age",
            "current_setting",
            "timetz",
            "pg_typeof",
            "to_regclass",
            "random",
        ] {
            assert!(!depends_on_settings_only(name), "{name}");
        }
        assert!(!writes_nothing("query_to_xml") && !writes_nothing("pg_reload_conf"));
    }
}
