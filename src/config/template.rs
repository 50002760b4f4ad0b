//! The file that `pgcask init` writes: what was asked, with comments on what else there is.

/// What a new file says.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Name of the database in the file.
    pub name: String,
    /// Its connection string; it may have a password, for the file is private.
    pub url: String,
    /// Its password, where it is not in the string.
    pub password: Option<crate::pg::Secret>,
    /// Where backups go.
    pub store: String,
    /// Endpoint of an S3-compatible service.
    pub endpoint: Option<String>,
    /// How archives are sealed.
    pub sealing: Sealing,
    /// The identity file that was made.
    pub identity: Option<String>,
}

/// How archives are sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sealing {
    /// For these recipients.
    Recipients(Vec<String>),
    /// By a passphrase of this file.
    PassphraseFile(String),
    /// Not at all.
    #[default]
    None,
}

impl Template {
    /// The text of the file.
    pub fn text(&self) -> String {
        let Self { name, url, store, .. } = self;
        let name_of_table = bare_or_quoted(name);
        let password = self.password.as_ref().map_or_else(
            || {
                "# password = { env = \"NAME\" }   # or { file = \"…\" }, { command = \"…\" }, or ~/.pgpass\n"
                    .to_owned()
            },
            |password| format!("password = {}\n", quoted(password.expose())),
        );
        let sealing = match &self.sealing {
            Sealing::Recipients(list) => {
                let list: Vec<String> = list.iter().map(|text| quoted(text)).collect();
                format!(
                    "# Public keys: with these alone, this host writes backups and cannot read them.\nrecipients = [{}]\n",
                    list.join(", ")
                )
            }
            Sealing::PassphraseFile(file) => format!("passphrase_file = {}\n", quoted(file)),
            Sealing::None => "# Whoever gets a backup reads all of it.\nencrypt = false\n".to_owned(),
        };
        let identity = self.identity.as_deref().unwrap_or("/path/to/pgcask.key");
        let endpoint = match (&self.endpoint, store.starts_with("s3://")) {
            (Some(endpoint), _) => format!("endpoint = {}\n", quoted(endpoint)),
            (None, true) => {
                "# endpoint = \"https://…\"   # of an S3-compatible service\n# region = \"eu-central-1\"\n"
                    .to_owned()
            }
            (None, false) => String::new(),
        };
        let credentials = if store.starts_with("s3://") {
            "# Without these, the environment's AWS_… hold.\n# access_key_id = { env = \"NAME\" }\n\
             # secret_access_key = { env = \"NAME\" }\n"
        } else {
            ""
        };
        format!(
            "# Configuration of pgcask; every key is in docs/configuration.md and in `pgcask config keys`.\n\
             # `pgcask config check --online` tries it out, `pgcask config show` says what holds and why.\n\n\
             [defaults]\nstore = \"main\"\n{sealing}\
             # Only where backups are restored; keep the file off the host that only backs up.\n\
             # identities = [{}]\n\
             # jobs = 4          # connections at the same time\n\
             # level = 1         # of zstd, -7 to 22\n\n\
             # `{name}` is its name on the command line: pgcask backup {name}\n\
             [databases.{name_of_table}]\nurl = {}\n{password}\
             # exclude_table_data = [\"log.*\"]   # their rows are left out of backups\n\n\
             [stores.main]\nurl = {}\n{endpoint}{credentials}\n\
             # What a restore brings back first, rows, indexes and keys.\n\
             # [priorities]\n# P0 = [\"public.users\", \"billing.*\"]\n\n\
             # How long backups are kept, by kind; and how many besides.\n\
             # [retention]\n# daily = \"90d\"\n# monthly = \"7y\"\n# keep_yearly = 10\n\n\
             # What must hold in a restored database before it is used.\n\
             # [validate]\n# critical = [\"public.users\"]\n# assertions = [\"SELECT count(*) > 1000 FROM public.orders\"]\n",
            quoted(identity),
            quoted(url),
            quoted(store),
        )
    }
}

/// A key of TOML: bare where that can be.
fn bare_or_quoted(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare && !name.is_empty() { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse;

    #[test]
    fn the_text_is_a_configuration_whatever_the_names_are() {
        for sealing in
            [Sealing::Recipients(vec!["age1x".into()]), Sealing::PassphraseFile("p\"w".into()), Sealing::None]
        {
            let template = Template {
                name: "my.shop".to_owned(),
                url: "host='a \\\\ b' dbname='é\"'".to_owned(),
                password: Some(crate::pg::Secret::new("it's\n\"x\"\\")),
                store: "s3://bucket/prod".to_owned(),
                endpoint: Some("http://127.0.0.1:1".to_owned()),
                sealing,
                identity: None,
            };
            let entries = parse(&template.text(), true).unwrap();
            let of = |key: &str| entries.iter().find(|entry| entry.path.last().unwrap() == key).unwrap();
            assert_eq!(of("url").path, ["databases", "my.shop", "url"]);
            assert_eq!(of("endpoint").value.text(), Some("http://127.0.0.1:1"));
            // What stands in comments is right, too.
            let live: String = template.text().lines().map(uncommented).collect();
            parse(&live, true).unwrap();
        }
    }

    fn uncommented(line: &str) -> String {
        let inner = line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = "));
        format!("{}\n", inner.unwrap_or(line))
    }
}
