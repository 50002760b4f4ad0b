//! Every key of `pgcask.toml`, in one list: it checks the file, fills `config show`, and the reference in
//! `docs/configuration.md` is written from it. A new key is one line here and one in the struct that reads it.

pub use super::form::Form;

/// A key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The tables it may stand in; `*` stands for a name.
    pub sections: &'static [&'static str],
    /// Its name.
    pub name: &'static str,
    /// The form of its value.
    pub form: Form,
    /// What happens without it; empty where nothing does.
    pub default: &'static str,
    /// What it means.
    pub about: &'static str,
}

/// The tables of the file, with what each is for.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "At the top of the file."),
    ("defaults", "What holds for every database that does not say otherwise itself."),
    (
        "databases.*",
        "A database. Its name stands wherever a command takes a `DBURL`. All keys of `[defaults]` may stand here, too.",
    ),
    (
        "stores.*",
        "A place for backups. Its name stands wherever a command takes a `STORE`. What is not given here comes from the \
         environment, as the platform's own tools take it (`AWS_…`, `GOOGLE_…`, `AZURE_STORAGE_…`).",
    ),
    ("priorities", "What a restore brings back first."),
    ("databases.*.priorities", "The same for one database; it takes the place of `[priorities]`."),
    ("retention", "How long backups are kept, by kind and by number. See [retention](retention.md)."),
    ("databases.*.retention", "The same for one database; it takes the place of `[retention]`."),
    ("validate", "What must hold in a restored database, besides what is always checked."),
    ("databases.*.validate", "The same for one database; it takes the place of `[validate]`."),
    (
        "schedule",
        "When what runs, for `pgcask schedule print`; `\"off\"` switches a job off. See [schedules](schedule.md).",
    ),
    (
        "metrics",
        "Where metrics go after each backup, restore, test, drill, check and prune. See [monitoring](monitoring.md).",
    ),
    ("notify.*", "A channel that is told how runs go. See [notifications](notifications.md)."),
];

const TOP: &[&str] = &[""];
const DATABASE: &[&str] = &["databases.*"];
/// Of all databases, or of one.
const EACH: &[&str] = &["defaults", "databases.*"];
const STORE: &[&str] = &["stores.*"];
const PRIORITIES: &[&str] = &["priorities", "databases.*.priorities"];
const RETENTION: &[&str] = &["retention", "databases.*.retention"];
const VALIDATE: &[&str] = &["validate", "databases.*.validate"];
const SCHEDULE: &[&str] = &["schedule"];
const METRICS: &[&str] = &["metrics"];
const NOTIFY: &[&str] = &["notify.*"];

const NO_BOUND: i64 = u32::MAX as i64;

const fn key(
    sections: &'static [&'static str],
    name: &'static str,
    form: Form,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { sections, name, form, default, about }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        TOP,
        "default_database",
        Form::Text,
        "the only one, if there is one",
        "The database that is meant where none is named.",
    ),
    // What a connection needs, by libpq's names.
    key(
        DATABASE,
        "url",
        Form::DatabaseUrl,
        "",
        "A libpq URL or keyword string. The keys below add to it and replace what it says.",
    ),
    key(
        DATABASE,
        "host",
        Form::Text,
        "as in psql",
        "Host name, address or socket folder; several with commas between.",
    ),
    key(DATABASE, "port", Form::Whole(1, 65_535), "5432", "Port."),
    key(DATABASE, "dbname", Form::Text, "the name of the table", "Name of the database at the server."),
    key(DATABASE, "user", Form::Text, "as in psql", "User."),
    key(DATABASE, "password", Form::Secret, "`~/.pgpass`, as in psql", "Password."),
    key(DATABASE, "passfile", Form::Path, "~/.pgpass", "Password file."),
    key(DATABASE, "service", Form::Text, "", "Section of the service file (`pg_service.conf`)."),
    key(
        DATABASE,
        "sslmode",
        Form::Choice(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
        "prefer",
        "How TLS is used.",
    ),
    key(
        DATABASE,
        "sslrootcert",
        Form::Text,
        "as in psql",
        "File of the certificate authorities, or `system`.",
    ),
    key(DATABASE, "sslcert", Form::Path, "as in psql", "Client certificate."),
    key(DATABASE, "sslkey", Form::Path, "as in psql", "Its key."),
    key(
        DATABASE,
        "connect_timeout",
        Form::Whole(0, 86_400),
        "none",
        "Seconds for one connection; 0 waits for ever.",
    ),
    key(
        DATABASE,
        "options",
        Form::Text,
        "",
        "Settings that the session starts with, as `-c statement_timeout=0`.",
    ),
    key(
        DATABASE,
        "target_session_attrs",
        Form::Choice(&["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]),
        "any",
        "Which of several hosts will do.",
    ),
    key(
        DATABASE,
        "supabase_url",
        Form::Text,
        "",
        "URL of a Supabase project (`https://….supabase.co`): gives host, user and database of the direct connection.",
    ),
    // What is done with it.
    key(
        EACH,
        "store",
        Form::Text,
        "",
        "Where its backups are: the name of a store, a folder, `s3://bucket/prefix`, `gs://…`, `az://…`.",
    ),
    key(
        EACH,
        "kind",
        Form::Choice(&["daily", "weekly", "monthly", "pre-deploy", "manual"]),
        "daily",
        "Kind of a backup that does not say.",
    ),
    key(EACH, "keep_for", Form::Span, "by kind", "How long backups are kept, whatever their kind."),
    key(EACH, "recipients", Form::List, "", "For whom backups are sealed: public keys, or files of them."),
    key(EACH, "passphrase_file", Form::Path, "", "File whose first line is the passphrase."),
    key(EACH, "passphrase_command", Form::Text, "", "Shell command that prints the passphrase."),
    key(
        EACH,
        "key_command",
        Form::Text,
        "",
        "Shell command that wraps and unwraps archives' keys, in front of a KMS.",
    ),
    key(EACH, "erasure_key_file", Form::Path, "", "File of the key of hashed entries of the erasure ledger."),
    key(EACH, "copy_to", Form::List, "", "Stores that each backup is copied to, besides its own."),
    key(
        EACH,
        "encrypt",
        Form::Flag,
        "true",
        "`false`: backups are not encrypted, and whoever gets one reads all of it.",
    ),
    key(
        EACH,
        "identities",
        Form::Paths,
        "",
        "Files of the identities that open its archives; not for the host that only backs up.",
    ),
    key(
        EACH,
        "jobs",
        Form::Whole(1, 256),
        "the number of processors, at most 8",
        "Connections that read or load at the same time.",
    ),
    key(EACH, "level", Form::Whole(-7, 22), "1", "Compression level of zstd."),
    key(
        EACH,
        "lock_timeout",
        Form::Whole(0, NO_BOUND),
        "60",
        "Seconds that a backup waits for each table's lock.",
    ),
    key(EACH, "tables", Form::List, "all", "Only these tables are backed up; patterns as in psql."),
    key(EACH, "schemas", Form::List, "all", "Only these schemas are backed up."),
    key(EACH, "exclude_tables", Form::List, "", "Tables that are left out of backups."),
    key(EACH, "exclude_schemas", Form::List, "", "Schemas that are left out of backups."),
    key(EACH, "exclude_table_data", Form::List, "", "Tables whose rows are left out of backups."),
    key(
        EACH,
        "personal",
        Form::List,
        "",
        "Tables of personal data: their rows are left out of backups of the kinds in `without_personal`. Name tables that reference them, too.",
    ),
    key(
        EACH,
        "without_personal",
        Form::Words(&["daily", "weekly", "monthly", "pre-deploy", "manual"]),
        "",
        "Kinds of backup without the rows of `personal` tables, as those that are kept for years.",
    ),
    key(
        EACH,
        "profile",
        Form::Choice(&["supabase", "rds", "none"]),
        "what the server shows",
        "The managed service that the database is on.",
    ),
    key(
        EACH,
        "role_passwords",
        Form::Flag,
        "false",
        "Take along the hashes of the roles' passwords; needs a superuser.",
    ),
    key(
        EACH,
        "maintenance_work_mem",
        Form::Text,
        "chosen by the server's memory",
        "Memory of the server for one index build in a restore.",
    ),
    key(
        EACH,
        "rto",
        Form::Span,
        "1h",
        "How long a recovery may take: drills fail beyond it, backups warn near it.",
    ),
    key(
        EACH,
        "rpo",
        Form::Span,
        "24h",
        "How old the newest backup may be, for `test`, `status` and `check`.",
    ),
    key(
        EACH,
        "drill_every",
        Form::Span,
        "3mo",
        "How long a drill counts, and after what time the next is due.",
    ),
    key(
        EACH,
        "evidence",
        Form::Path,
        "backup-tests in the working directory",
        "Folder for log, record and report of each test and drill, and for the compliance register.",
    ),
    key(
        EACH,
        "upload_evidence",
        Form::Flag,
        "false",
        "Put log, record and report of each drill beside the archive that it restored.",
    ),
    key(EACH, "max_rate", Form::Bytes, "none", "Most bytes of rows that a restore loads in a second."),
    // Stores.
    key(
        STORE,
        "url",
        Form::Text,
        "",
        "A folder, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.",
    ),
    key(STORE, "region", Form::Text, "us-east-1 with an endpoint", "Region of an S3 bucket."),
    key(
        STORE,
        "endpoint",
        Form::Text,
        "the platform's own",
        "URL of an S3-compatible service (R2, MinIO, SeaweedFS …) or of another Azure endpoint.",
    ),
    key(
        STORE,
        "path_style",
        Form::Flag,
        "true",
        "`false`: the bucket is part of the host name that `endpoint` gives.",
    ),
    key(STORE, "access_key_id", Form::Reference, "", "S3: name of the key."),
    key(STORE, "secret_access_key", Form::Reference, "", "S3: the key itself."),
    key(STORE, "session_token", Form::Reference, "", "S3: token of temporary credentials."),
    key(
        STORE,
        "encryption",
        Form::Choice(&["AES256", "aws:kms", "aws:kms:dsse", "sse-c"]),
        "the bucket's",
        "S3: server-side encryption asked for.",
    ),
    key(STORE, "kms_key_id", Form::Text, "", "S3: key for `aws:kms`."),
    key(
        STORE,
        "customer_key",
        Form::Reference,
        "",
        "S3: the key for `sse-c`, 256 bits in base64. Without it nobody reads the store again.",
    ),
    key(
        STORE,
        "checksum",
        Form::Choice(&["SHA256", "CRC64NVME", "none"]),
        "SHA256",
        "S3: checksum that goes with each part, for the store to compare. `none` is for services that refuse such headers.",
    ),
    key(
        STORE,
        "storage_class",
        Form::Text,
        "the bucket's",
        "Class of the archives (`STANDARD_IA`, `GLACIER_IR`, `NEARLINE`, `Cool` …); sidecars stay in the bucket's own. \
         See [stores](stores.md).",
    ),
    key(
        STORE,
        "part_size",
        Form::Bytes,
        "16M",
        "Bytes of the first parts of an upload, from 5M to 512M; later ones are larger. An archive has room in 60,000 times as much.",
    ),
    key(STORE, "service_account", Form::Path, "", "Google: file of the service account."),
    key(STORE, "account_name", Form::Text, "", "Azure: storage account."),
    key(STORE, "account_key", Form::Reference, "", "Azure: its key."),
    key(PRIORITIES, "P0", Form::List, "", "Patterns of the tables that come first: rows, indexes and keys."),
    key(PRIORITIES, "P1", Form::List, "", "Those that come next; `P2` to `P9` alike."),
    key(PRIORITIES, "P2", Form::List, "", ""),
    key(PRIORITIES, "P3", Form::List, "", ""),
    key(PRIORITIES, "P4", Form::List, "", ""),
    key(PRIORITIES, "P5", Form::List, "", ""),
    key(PRIORITIES, "P6", Form::List, "", ""),
    key(PRIORITIES, "P7", Form::List, "", ""),
    key(PRIORITIES, "P8", Form::List, "", ""),
    key(PRIORITIES, "P9", Form::List, "", ""),
    key(RETENTION, "daily", Form::Span, "90d", "How long daily backups are kept."),
    key(RETENTION, "weekly", Form::Span, "1y", "Weekly ones."),
    key(RETENTION, "monthly", Form::Span, "7y", "Monthly ones."),
    key(RETENTION, "pre-deploy", Form::Span, "30d", "Those before a deployment."),
    key(RETENTION, "manual", Form::Span, "90d", "Those on request."),
    key(RETENTION, "pre-restore", Form::Span, "14d", "Safety backups."),
    key(
        RETENTION,
        "keep_last",
        Form::Whole(0, NO_BOUND),
        "none",
        "`prune` keeps so many of the newest besides.",
    ),
    key(RETENTION, "keep_daily", Form::Whole(0, NO_BOUND), "none", "The newest of each of so many days."),
    key(RETENTION, "keep_weekly", Form::Whole(0, NO_BOUND), "none", "… weeks."),
    key(RETENTION, "keep_monthly", Form::Whole(0, NO_BOUND), "none", "… months."),
    key(RETENTION, "keep_yearly", Form::Whole(0, NO_BOUND), "none", "… years."),
    key(VALIDATE, "critical", Form::List, "", "Patterns of tables that must have rows."),
    key(VALIDATE, "assertions", Form::List, "", "SQL queries that must give true."),
    key(SCHEDULE, "daily", Form::Text, "03:15", "Daily backups: `03:15`."),
    key(SCHEDULE, "weekly", Form::Text, "Sun 04:15", "Weekly backups: `Sun 04:15`."),
    key(SCHEDULE, "monthly", Form::Text, "1 05:15", "Monthly backups: day, up to 28, and time."),
    key(SCHEDULE, "prune", Form::Text, "06:30", "`pgcask prune --apply`, each day."),
    key(SCHEDULE, "check", Form::Text, ":50", "`pgcask check`, each hour at this minute."),
    key(
        SCHEDULE,
        "drill",
        Form::Text,
        "2 08:15",
        "`pgcask drill` of the newest backup, on this day of each quarter.",
    ),
    key(SCHEDULE, "test", Form::Text, "07:45", "`pgcask test` of the newest backup, each day."),
    key(
        METRICS,
        "textfile",
        Form::Path,
        "",
        "File for the textfile collector of node_exporter; its name ends in `.prom`.",
    ),
    key(METRICS, "push", Form::Secret, "", "URL of a Pushgateway."),
    key(
        METRICS,
        "otlp",
        Form::Secret,
        "",
        "URL of a receiver of OTLP over HTTP, as `http://collector:4318`.",
    ),
    key(METRICS, "otlp_authorization", Form::Secret, "", "Value of the header `Authorization` for it."),
    key(METRICS, "instance", Form::Text, "the host's name", "The `instance` of what is pushed or sent."),
    // Notifications.
    key(
        NOTIFY,
        "type",
        Form::Choice(&["slack", "pagerduty", "webhook", "email", "ping"]),
        "",
        "What it is; needed.",
    ),
    key(
        NOTIFY,
        "on",
        Form::Words(&["start", "success", "failure", "recovery", "stale"]),
        "failure, recovery, stale; for `ping` all",
        "What it is told of.",
    ),
    key(NOTIFY, "databases", Form::List, "all", "Of which databases it is told."),
    key(
        NOTIFY,
        "url",
        Form::Secret,
        "",
        "slack, webhook: where messages go. ping: called on success. pagerduty: another address.",
    ),
    key(NOTIFY, "start_url", Form::Secret, "", "ping: called when a run begins."),
    key(NOTIFY, "fail_url", Form::Secret, "", "ping: called when it failed."),
    key(NOTIFY, "routing_key", Form::Secret, "", "pagerduty: integration key of Events API v2."),
    key(NOTIFY, "secret", Form::Secret, "none: not signed", "webhook: key of the signature (HMAC-SHA256)."),
    key(NOTIFY, "smtp_host", Form::Text, "", "email: the mail server."),
    key(NOTIFY, "smtp_port", Form::Whole(1, 65_535), "by `tls`: 587, 465, 25", "email: its port."),
    key(
        NOTIFY,
        "tls",
        Form::Choice(&["starttls", "implicit", "none"]),
        "starttls",
        "email: how the connection is secured.",
    ),
    key(NOTIFY, "user", Form::Text, "", "email: who logs in."),
    key(NOTIFY, "password", Form::Secret, "", "email: with this password."),
    key(NOTIFY, "from", Form::Text, "", "email: who writes."),
    key(NOTIFY, "to", Form::List, "", "email: who gets it."),
];

/// The key of a name in a section.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name && key.sections.contains(&section))
}

/// The section that a table of the file is: `databases.*` for `["databases", "shop"]`.
pub(super) fn section_of(path: &[String]) -> Option<&'static str> {
    SECTIONS.iter().map(|(section, _)| *section).find(|section| {
        let words: Vec<&str> = section.split('.').filter(|word| !word.is_empty()).collect();
        words.len() == path.len() && words.iter().zip(path).all(|(word, part)| *word == "*" || word == part)
    })
}

/// Whether a table holds sections and nothing else: `["databases"]`.
pub(super) fn leads_to_sections(path: &[String]) -> bool {
    children(path).next().is_some()
}

/// What may stand below a table as a table: names, or `*`.
pub(super) fn children(path: &[String]) -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().filter_map(|(section, _)| {
        let mut words = section.split('.').filter(|word| !word.is_empty());
        path.iter()
            .all(|part| words.next().is_some_and(|word| word == "*" || word == part))
            .then(|| words.next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_by_their_path() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(section_of(&[]), Some(""));
        assert_eq!(section_of(&path("databases.shop")), Some("databases.*"));
        assert_eq!(section_of(&path("databases.shop.validate")), Some("databases.*.validate"));
        assert_eq!(section_of(&path("databases")), None);
        assert!(leads_to_sections(&path("databases")) && !leads_to_sections(&path("priorities")));
        assert!(children(&path("databases.shop")).any(|word| word == "validate"));
    }

    #[test]
    fn every_key_stands_in_sections_that_there_are_once() {
        for (at, key) in KEYS.iter().enumerate() {
            for section in key.sections {
                assert!(SECTIONS.iter().any(|(known, _)| known == section), "{}: {section}", key.name);
                let again = KEYS
                    .iter()
                    .skip(at + 1)
                    .find(|other| other.name == key.name && other.sections.contains(section));
                assert!(again.is_none(), "{} stands twice in [{section}]", key.name);
            }
        }
    }
}
