//! Subscriptions (`CREATE SUBSCRIPTION`, section 29.2): created without a connection and disabled, as two databases
//! must not consume the same slot. The connection string may hold a password.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::Global;
use crate::pg::{ServerVersion, quote};

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The connection string; none where the backup's role may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The publications.
    #[serde(default, deserialize_with = "null_as_default")]
    pub publications: Vec<String>,
    /// The replication slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Whether it was enabled: recorded, and left to the operator after a restore.
    #[serde(default)]
    pub enabled: bool,
    /// `synchronous_commit` of its workers.
    pub synchronous_commit: String,
    /// Whether data comes in binary form (servers from 14).
    #[serde(default)]
    pub binary: bool,
    /// `f` off, `t` on, `p` parallel: how transactions in progress are streamed (servers from 14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streaming: Option<char>,
    /// Whether two-phase commit is replicated (servers from 15).
    #[serde(default)]
    pub two_phase: bool,
    /// Whether an error disables it (servers from 15).
    #[serde(default)]
    pub disable_on_error: bool,
    /// Whether the publisher must ask for a password (servers from 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_required: Option<bool>,
    /// Whether changes are applied as the subscription's owner (servers from 16).
    #[serde(default)]
    pub run_as_owner: bool,
    /// `any` or `none`: whether changes that the publisher got from others are wanted (servers from 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether the slot is to be synchronised to standbys (servers from 17).
    #[serde(default)]
    pub failover: bool,
}

/// The text that `query` yields, an expression of its SQL's text. Who names a column that it may not read fails as a
/// whole, so such a column is named in a query of its own, which runs only if it may: `ts_stat` is the one function
/// that runs a query's text on every server, and pieces of the text are the words it counts (of less than 2 KiB).
fn text_of(query: &str) -> String {
    format!(
        "(SELECT pg_catalog.string_agg(pg_catalog.substr(t.word, pg_catalog.strpos(t.word, ':') + 1), '' \
         ORDER BY pg_catalog.split_part(t.word, ':', 1)::pg_catalog.int4) FROM pg_catalog.ts_stat(\
         'SELECT pg_catalog.array_to_tsvector(pg_catalog.array_agg(i::pg_catalog.text || '':'' || pg_catalog.substr(q.t, i * 500 + 1, 500))) \
         FROM (' || {query} || ') q(t), pg_catalog.generate_series(0, pg_catalog.length(q.t) / 500) i') t)"
    )
}

/// The connection string, or null: only superusers may read it.
fn connection() -> String {
    format!(
        "CASE WHEN pg_catalog.has_column_privilege('pg_catalog.pg_subscription', 'subconninfo', 'SELECT') THEN {} END",
        text_of(
            "'SELECT subconninfo FROM pg_catalog.pg_subscription WHERE oid = ' || o.oid::pg_catalog.text"
        )
    )
}

/// The rows on 13, where only superusers may read even the OIDs; others see none.
fn rows_of_13() -> String {
    format!(
        "(SELECT x.* FROM pg_catalog.json_to_recordset(CASE WHEN \
         pg_catalog.has_table_privilege('pg_catalog.pg_subscription', 'SELECT') THEN {}::pg_catalog.json END) \
         AS x(oid pg_catalog.oid, subdbid pg_catalog.oid, subname pg_catalog.text, subowner pg_catalog.oid, \
         subenabled pg_catalog.bool, subslotname pg_catalog.text, subsynccommit pg_catalog.text, \
         subpublications pg_catalog.json))",
        text_of(
            "'SELECT coalesce(pg_catalog.json_agg(pg_catalog.to_json(s)), ''[]'')::pg_catalog.text \
                 FROM pg_catalog.pg_subscription s'"
        )
    )
}

impl Subscription {
    fn options(&self, head: &Head, target: &Target) -> Vec<String> {
        let Target { version: target, source, .. } = *target;
        let mut options = vec!["connect = false".to_owned()];
        let slot = self.slot.as_ref();
        if slot != Some(&head.name) {
            options.push(format!(
                "slot_name = {}",
                slot.map_or_else(|| "NONE".to_owned(), |s| quote::literal(s))
            ));
        }
        if self.synchronous_commit != "off" {
            options.push(format!("synchronous_commit = {}", quote::literal(&self.synchronous_commit)));
        }
        let mut add = |from: u32, wanted: bool, option: &str| {
            if wanted && target.at_least(from) {
                options.push(option.to_owned());
            }
        };
        add(14, self.binary, "binary = true");
        let parallel = self.streaming == Some('p');
        add(16, parallel, "streaming = parallel");
        add(14, self.streaming == Some('t') || (parallel && !target.at_least(16)), "streaming = on");
        // From 18 on it is parallel unless said otherwise.
        add(18, self.streaming.is_none_or(|streaming| streaming == 'f'), "streaming = off");
        add(15, self.two_phase, "two_phase = on");
        add(15, self.disable_on_error, "disable_on_error = true");
        add(16, self.password_required == Some(false), "password_required = false");
        // Before 16 changes were always applied with the rights of the subscription's owner.
        add(16, self.run_as_owner || !source.at_least(16), "run_as_owner = true");
        add(16, self.origin.as_deref() == Some("none"), "origin = none");
        add(17, self.failover, "failover = true");
        options
    }
}

/// The columns that came after 13.
fn later_columns(server: ServerVersion) -> String {
    let columns = [
        (14, "o.subbinary AS binary"),
        (15, "o.subtwophasestate <> 'd' AS two_phase, o.subdisableonerr AS disable_on_error"),
        (
            16,
            "o.subpasswordrequired AS password_required, o.subrunasowner AS run_as_owner, o.suborigin AS origin",
        ),
        (17, "o.subfailover AS failover"),
    ];
    let mut text = String::new();
    for (_, columns) in columns.iter().filter(|(from, _)| server.at_least(*from)) {
        text += &format!(", {columns}");
    }
    match server.major() {
        ..=13 => {}
        14 | 15 => text += ", CASE WHEN o.substream THEN 't' ELSE 'f' END AS streaming",
        _ => text += ", o.substream AS streaming",
    }
    text
}

impl Kind for Subscription {
    const NAME: &'static str = "subscription";
    const CATALOGS: &'static [&'static str] = &["pg_subscription"];

    fn query(server: ServerVersion) -> String {
        let subscriptions = Global {
            class: class::PG_SUBSCRIPTION,
            catalog: "pg_subscription",
            name: "o.subname",
            owner: Some("o.subowner"),
            acl: None,
        };
        let query = subscriptions.query(
            &format!(
                "{connection} AS connection, pg_catalog.to_json(o.subpublications) AS publications, o.subslotname AS slot, \
                 o.subenabled AS enabled, o.subsynccommit AS synchronous_commit{later}",
                connection = connection(),
                later = later_columns(server)
            ),
            "o.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())",
        );
        if server.at_least(14) {
            return query;
        }
        query.replacen(
            "FROM pg_catalog.pg_subscription o WHERE",
            &format!("FROM {} o WHERE", rows_of_13()),
            1,
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("SUBSCRIPTION {}", quote::ident(&head.name))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let Some(connection) = &self.connection else {
            return Vec::new();
        };
        vec![format!(
            "CREATE {} CONNECTION {} PUBLICATION {} WITH ({})",
            self.identity(head),
            quote::literal(connection),
            quote::ident_list(self.publications.iter().map(String::as_str)),
            self.options(head, target).join(", ")
        )]
    }

    fn set_owner(&self, head: &Head, owner: &str) -> Option<String> {
        self.connection.as_ref()?;
        Some(format!("ALTER {} OWNER TO {}", self.identity(head), quote::ident(owner)))
    }

    fn set_comment(&self, head: &Head, comment: &str) -> Option<String> {
        self.connection.as_ref()?;
        Some(format!("COMMENT ON {} IS {}", self.identity(head), quote::literal(comment)))
    }

    fn warnings(&self, head: &Head) -> Vec<String> {
        if self.connection.is_none() {
            vec![format!(
                "subscription {} is left out: only a superuser may read its connection string",
                quote::ident(&head.name)
            )]
        } else {
            Vec::new()
        }
    }
}
