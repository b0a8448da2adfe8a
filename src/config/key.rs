//! Every key of the configuration, once.

use std::{sync::LazyLock, time::Duration};

use toml::Value;

pub(super) use super::entry::{Key, join};
use super::{
    AuthMode, ClientCertificate, Isolation, LogFormat, LogLevel, TlsVersion, auth,
    entry::{
        Elsewhere::{Flag, Nowhere, Variable, VariableAndFlag},
        TableKey,
    },
    form::{
        count, key_prefix, length, put, show_choice, show_count, show_duration, show_size,
        show_ttl, timeout, ttl, upstream, version_slots,
    },
    place, redis, retry,
    value::{BareUnit, Raw, address, boolean, choice, duration, size, whole},
};

/// The section that holds a table for each table of the database.
pub(super) const TABLES: &str = "cache.tables";

/// The keys of one `[cache.tables.<name>]`.
pub(super) const TABLE_KEYS: &[TableKey] = &[
    TableKey {
        name: "enabled",
        set: |rule, raw| put(&mut rule.enabled, boolean(raw)),
        show: |rule| Some(Value::Boolean(rule.enabled)),
    },
    TableKey {
        name: "ttl",
        set: |rule, raw| put(&mut rule.ttl, ttl(raw).map(Some)),
        show: |rule| rule.ttl.map(show_ttl),
    },
];

/// Every key, in the order of the reference file. The keys of one section stand together.
pub(super) static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| [FIRST_KEYS, redis::KEYS, LAST_KEYS].concat());

/// Those before `[redis]`.
const FIRST_KEYS: &[Key] = &[
    Key {
        section: "",
        name: "upstream",
        elsewhere: VariableAndFlag("DATABASE_URL", "--upstream"),
        set: |config, raw| put(&mut config.upstream, upstream(raw)),
        show: |config| Some(Value::String(config.upstream.masked())),
    },
    Key {
        section: "",
        name: "listen",
        elsewhere: Flag("--listen"),
        set: |config, raw| put(&mut config.listen, address(raw)),
        show: |config| Some(Value::String(config.listen.to_string())),
    },
    Key {
        section: "",
        name: "listen_unix",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.listen_unix, place::path(raw)),
        show: |config| Some(place::show_path(config.listen_unix.as_deref())),
    },
    Key {
        section: "",
        name: "listen_unix_mode",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.listen_unix_mode, place::mode(raw)),
        show: |config| Some(Value::String(format!("{:04o}", config.listen_unix_mode))),
    },
    Key {
        section: "",
        name: "admin",
        elsewhere: Flag("--admin"),
        set: |config, raw| {
            let off = matches!(raw, Raw::Text(text) | Raw::Bare(text) if text == "off");
            let admin = if off {
                Ok(None)
            } else {
                address(raw).map(Some)
            };
            put(&mut config.admin, admin.map_err(|bad| bad.or("\"off\"")))
        },
        show: |config| {
            Some(Value::String(
                config
                    .admin
                    .map_or("off".to_owned(), |admin| admin.to_string()),
            ))
        },
    },
    Key {
        section: "",
        name: "drain_timeout",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.drain_timeout,
                duration(raw, BareUnit::Seconds, Duration::ZERO),
            )
        },
        show: |config| Some(show_duration(config.drain_timeout)),
    },
    Key {
        section: "limits",
        name: "client_connections_max",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.limits.client_connections_max,
                count(raw, 1..=1_000_000),
            )
        },
        show: |config| Some(Value::Integer(config.limits.client_connections_max.into())),
    },
    Key {
        section: "tls",
        name: "cert_file",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.tls.cert_file, place::path(raw)),
        show: |config| Some(place::show_path(config.tls.cert_file.as_deref())),
    },
    Key {
        section: "tls",
        name: "key_file",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.tls.key_file, place::path(raw)),
        show: |config| Some(place::show_path(config.tls.key_file.as_deref())),
    },
    Key {
        section: "tls",
        name: "required",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.tls.required, boolean(raw)),
        show: |config| Some(Value::Boolean(config.tls.required)),
    },
    Key {
        section: "tls",
        name: "min_version",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.tls.min_version, choice(raw, TlsVersion::NAMES)),
        show: |config| show_choice(config.tls.min_version, TlsVersion::NAMES),
    },
    Key {
        section: "tls",
        name: "client_ca_file",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.tls.client_ca_file, place::path(raw)),
        show: |config| Some(place::show_path(config.tls.client_ca_file.as_deref())),
    },
    Key {
        section: "tls",
        name: "client_certificate",
        elsewhere: Nowhere,
        set: |config, raw| {
            let names = ClientCertificate::NAMES;
            put(&mut config.tls.client_certificate, choice(raw, names))
        },
        show: |config| show_choice(config.tls.client_certificate, ClientCertificate::NAMES),
    },
    Key {
        section: "auth",
        name: "mode",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.auth.mode, choice(raw, AuthMode::NAMES)),
        show: |config| show_choice(config.auth.mode, AuthMode::NAMES),
    },
    Key {
        section: "auth",
        name: "auth_query",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.auth.query, auth::query(raw)),
        show: |config| Some(Value::String(config.auth.query.clone())),
    },
    Key {
        section: "auth",
        name: "user_file",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.auth.user_file, place::path(raw)),
        show: |config| Some(place::show_path(config.auth.user_file.as_deref())),
    },
    Key {
        section: "pool",
        name: "max",
        elsewhere: Variable("DB_POOL_MAX"),
        set: |config, raw| put(&mut config.pool.max, count(raw, 1..=10_000)),
        show: |config| Some(Value::Integer(config.pool.max.into())),
    },
    Key {
        section: "pool",
        name: "min",
        elsewhere: Variable("DB_POOL_MIN"),
        set: |config, raw| put(&mut config.pool.min, count(raw, 0..=10_000)),
        show: |config| Some(Value::Integer(config.pool.min.into())),
    },
    Key {
        section: "pool",
        name: "connect_timeout",
        elsewhere: Variable("DB_CONNECT_TIMEOUT"),
        set: |config, raw| put(&mut config.pool.connect_timeout, timeout(raw)),
        show: |config| Some(show_duration(config.pool.connect_timeout)),
    },
    Key {
        section: "pool",
        name: "idle_timeout",
        elsewhere: Variable("DB_IDLE_TIMEOUT"),
        set: |config, raw| put(&mut config.pool.idle_timeout, timeout(raw)),
        show: |config| Some(show_duration(config.pool.idle_timeout)),
    },
    Key {
        section: "pool",
        name: "lifetime",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.pool.lifetime, timeout(raw)),
        show: |config| Some(show_duration(config.pool.lifetime)),
    },
    Key {
        section: "pool",
        name: "wait_timeout",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.pool.wait_timeout, timeout(raw)),
        show: |config| Some(show_duration(config.pool.wait_timeout)),
    },
    Key {
        section: "pool",
        name: "prepared_statements_max",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.pool.prepared_statements_max,
                length(whole(raw, 1..=100_000)),
            )
        },
        show: |config| Some(show_count(config.pool.prepared_statements_max)),
    },
    Key {
        section: "retry",
        name: "attempts",
        elsewhere: Variable("TRANSACTION_MAX_RETRIES"),
        set: |config, raw| put(&mut config.retry.attempts, count(raw, 0..=100)),
        show: |config| Some(Value::Integer(config.retry.attempts.into())),
    },
    Key {
        section: "retry",
        name: "delay",
        elsewhere: Variable("TRANSACTION_RETRY_DELAY"),
        set: |config, raw| put(&mut config.retry.delay, retry::delay(raw)),
        show: |config| Some(show_duration(config.retry.delay)),
    },
    Key {
        section: "retry",
        name: "writes",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.retry.writes, boolean(raw)),
        show: |config| Some(Value::Boolean(config.retry.writes)),
    },
    Key {
        section: "retry",
        name: "isolation",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.retry.isolation, choice(raw, Isolation::NAMES)),
        show: |config| show_choice(config.retry.isolation, Isolation::NAMES),
    },
    Key {
        section: "cache",
        name: "enabled",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.cache.enabled, boolean(raw)),
        show: |config| Some(Value::Boolean(config.cache.enabled)),
    },
    Key {
        section: "cache",
        name: "max_bytes",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.cache.max_bytes, size(raw, 1 << 20..=1 << 40)),
        show: |config| Some(show_size(config.cache.max_bytes)),
    },
    Key {
        section: "cache",
        name: "result_max_bytes",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.cache.result_max_bytes,
                length(size(raw, 1..=1 << 30)),
            )
        },
        show: |config| Some(show_size(config.cache.result_max_bytes as u64)),
    },
    Key {
        section: "cache",
        name: "ttl",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.cache.ttl, ttl(raw)),
        show: |config| Some(show_ttl(config.cache.ttl)),
    },
    Key {
        section: "cache",
        name: "version_slots",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.cache.version_slots, version_slots(raw)),
        show: |config| Some(show_count(config.cache.version_slots)),
    },
    Key {
        section: "cache",
        name: "statement_max_bytes",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.cache.statement_max_bytes,
                length(size(raw, 1..=1 << 20)),
            )
        },
        show: |config| Some(show_size(config.cache.statement_max_bytes as u64)),
    },
    Key {
        section: "cache",
        name: "catalog_check",
        elsewhere: Nowhere,
        set: |config, raw| {
            put(
                &mut config.cache.catalog_check,
                duration(raw, BareUnit::Seconds, Duration::ZERO),
            )
        },
        show: |config| Some(show_duration(config.cache.catalog_check)),
    },
    Key {
        section: "cache",
        name: "key_prefix",
        elsewhere: Variable("CACHE_KEY_PREFIX"),
        set: |config, raw| put(&mut config.cache.key_prefix, key_prefix(raw)),
        show: |config| Some(Value::String(config.cache.key_prefix.clone())),
    },
];

/// Those behind `[redis]`.
const LAST_KEYS: &[Key] = &[
    Key {
        section: "log",
        name: "level",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.log.level, choice(raw, LogLevel::NAMES)),
        show: |config| show_choice(config.log.level, LogLevel::NAMES),
    },
    Key {
        section: "log",
        name: "format",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.log.format, choice(raw, LogFormat::NAMES)),
        show: |config| show_choice(config.log.format, LogFormat::NAMES),
    },
    Key {
        section: "log",
        name: "slow_query",
        elsewhere: Variable("SLOW_QUERY_THRESHOLD"),
        set: |config, raw| {
            let threshold = duration(raw, BareUnit::Milliseconds, Duration::ZERO);
            put(
                &mut config.log.slow_query,
                threshold.map(|threshold| Some(threshold).filter(|t| !t.is_zero())),
            )
        },
        show: |config| Some(show_duration(config.log.slow_query.unwrap_or_default())),
    },
    Key {
        section: "workers",
        name: "threads",
        elsewhere: Nowhere,
        set: |config, raw| put(&mut config.workers.threads, length(whole(raw, 0..=1_024))),
        show: |config| Some(show_count(config.workers.threads)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn paths_and_other_sources_are_distinct() {
        let mut names: Vec<String> = KEYS.iter().map(Key::path).collect();
        names.extend(KEYS.iter().filter_map(Key::flag).map(str::to_owned));
        names.extend(KEYS.iter().filter_map(Key::variable).map(str::to_owned));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_keys_of_a_section_stand_together() {
        let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
        sections.dedup();
        let runs = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(sections.len(), runs);
    }

    #[test]
    fn what_is_shown_reads_back() {
        let config = Config::default();
        for key in KEYS.iter() {
            let Some(shown) = (key.show)(&config) else {
                continue;
            };
            let raw = match shown {
                Value::String(text) => Raw::Text(text),
                Value::Integer(number) => Raw::Integer(number),
                Value::Boolean(value) => Raw::Boolean(value),
                other => panic!("{}: {other}", key.path()),
            };
            let mut read = config.clone();
            (key.set)(&mut read, &raw).unwrap_or_else(|bad| panic!("{} {bad}", key.path()));
            assert_eq!(read, config, "{}", key.path());
        }
    }
}
