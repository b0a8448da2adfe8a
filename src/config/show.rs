//! The effective configuration as TOML, each value with its source, for `pgkeel check`.

use std::fmt::Write;

use toml::Value;

use super::{
    Loaded, Origin,
    functions::{FUNCTION_KEYS, FUNCTIONS},
    key::{KEYS, TABLE_KEYS, TABLES},
    place::{DATABASE_KEYS, DATABASES},
};

impl Loaded {
    /// The effective configuration as TOML: every key, its value without secrets, and its source as a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut page = Page {
            text: String::new(),
        };
        let mut section = "";
        for key in KEYS.iter() {
            if key.section != section {
                section = key.section;
                page.section(section);
            }
            page.value(key.name, (key.show)(&self.config), self.origin(&key.path()));
        }
        for (table, rule) in &self.config.cache.tables {
            page.section(&format!("{TABLES}.{}", Value::String(table.clone())));
            for key in TABLE_KEYS {
                let origin = self.origin(&format!("{TABLES}.{table}.{}", key.name));
                page.value(key.name, (key.show)(rule), origin);
            }
        }
        for (name, rule) in &self.config.cache.functions {
            page.section(&format!("{FUNCTIONS}.{}", Value::String(name.clone())));
            for key in FUNCTION_KEYS {
                let origin = self.origin(&format!("{FUNCTIONS}.{name}.{}", key.name));
                page.value(key.name, (key.show)(rule), origin);
            }
        }
        for (name, rule) in &self.config.databases {
            page.section(&format!("{DATABASES}.{}", Value::String(name.clone())));
            for key in DATABASE_KEYS {
                let origin = self.origin(&format!("{DATABASES}.{name}.{}", key.name));
                page.value(key.name, (key.show)(rule), origin);
            }
        }
        page.text
    }
}

struct Page {
    text: String,
}

impl Page {
    fn section(&mut self, name: &str) {
        self.line(&format!("\n[{name}]"));
    }

    fn value(&mut self, name: &str, value: Option<Value>, origin: &Origin) {
        match value {
            Some(value) => self.line(&format!(
                "{:<40} # {}",
                format!("{name} = {value}"),
                source(origin)
            )),
            None => self.line(&format!(
                "{:<40} # {}",
                format!("# {name} is not set"),
                source(origin)
            )),
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// Where a value came from, as the comment says it.
fn source(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        // A file name with a line break would end the comment.
        Origin::File { path, line, .. } => {
            format!("file {}:{line}", path.display().to_string().escape_debug())
        }
        Origin::Environment(name) => format!("env {name}"),
        Origin::Flag(name) => format!("flag {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::config::{Config, Inputs, key::Key};

    const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");

    fn load(file: &Path) -> Loaded {
        Config::load(&Inputs {
            file: Some(file.to_owned()),
            ..Inputs::default()
        })
        .unwrap()
    }

    #[test]
    fn the_reference_file_holds_the_defaults() {
        let config = load(Path::new(REFERENCE)).config;
        assert_eq!(
            config,
            Config {
                upstream: config.upstream.clone(),
                ..Config::default()
            }
        );
    }

    #[test]
    fn the_reference_file_mentions_every_key_and_variable() {
        let text = fs::read_to_string(REFERENCE).unwrap();
        let mut section = String::new();
        let mut found = Vec::new();
        for line in text.lines() {
            let line = line.trim_start_matches(['#', ' ']);
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                section = name.to_owned();
            } else if let Some((name, _)) = line.split_once(" = ") {
                found.push(crate::config::key::join(&section, name));
            }
        }
        for path in KEYS.iter().map(Key::path) {
            assert!(found.contains(&path), "{path} is missing");
        }
        for key in TABLE_KEYS {
            let named = |path: &&String| {
                path.starts_with(TABLES) && path.ends_with(&format!(".{}", key.name))
            };
            assert!(
                found.iter().any(|path| named(&path)),
                "{TABLES}.*.{} is missing",
                key.name
            );
        }
        for key in FUNCTION_KEYS {
            let named = |path: &&String| {
                path.starts_with(FUNCTIONS) && path.ends_with(&format!(".{}", key.name))
            };
            assert!(
                found.iter().any(|path| named(&path)),
                "{FUNCTIONS}.*.{} is missing",
                key.name
            );
        }
        for key in DATABASE_KEYS {
            let named = |path: &&String| {
                path.starts_with(DATABASES) && path.ends_with(&format!(".{}", key.name))
            };
            assert!(
                found.iter().any(|path| named(&path)),
                "{DATABASES}.*.{} is missing",
                key.name
            );
        }
        for other in KEYS
            .iter()
            .flat_map(|key| [key.variable(), key.flag()])
            .flatten()
        {
            assert!(text.contains(other), "{other} is missing");
        }
    }

    #[test]
    fn what_is_printed_reads_back_and_names_its_sources() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");
        let written = "upstream = \"postgres://u@h/d\"\nadmin = \"off\"\n[cache]\nttl = 0\n\
            [cache.tables.users]\nttl = \"90s\"\n[cache.tables.audit.log]\nenabled = false\n\
            [cache.functions.f]\nreads = [\"a\", \"b.c\"]\n\
            [databases.reports]\nurl = \"postgres://u@other/real\"\npool_max = 4\n[databases.\"*\"]\npool_min = 1\n";
        fs::write(&file, written).unwrap();
        let inputs = Inputs {
            file: Some(file.clone()),
            environment: vec![("DB_POOL_MAX".into(), "7".into())],
            flags: vec![("--listen", "127.0.0.1:7000".to_owned())],
        };
        let loaded = Config::load(&inputs).unwrap();
        let printed = loaded.to_toml();
        for (value, source) in [
            ("max = 7", "# env DB_POOL_MAX"),
            ("listen = \"127.0.0.1:7000\"", "# flag --listen"),
            ("min = 2", "# default"),
            ("admin = \"off\"", "proxy.toml:2"),
            ("ttl = \"90s\"", "proxy.toml:6"),
        ] {
            let line = printed
                .lines()
                .find(|line| line.starts_with(value))
                .unwrap_or_else(|| panic!("{value}\n{printed}"));
            assert!(line.ends_with(source), "{line}");
        }
        fs::write(&file, &printed).unwrap();
        assert_eq!(load(&file).config, loaded.config);
    }

    #[test]
    fn secrets_are_masked() {
        let inputs = Inputs {
            environment: vec![
                ("DATABASE_URL".into(), "postgres://u:s3cret@h/d".into()),
                ("REDIS_URL".into(), "redis://:s3cret@cache:6379".into()),
            ],
            ..Inputs::default()
        };
        let printed = Config::load(&inputs).unwrap().to_toml();
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(
            printed.contains("postgres://u:***@h:5432/d")
                && printed.contains("redis://***@cache:6379"),
            "{printed}"
        );
    }
}
