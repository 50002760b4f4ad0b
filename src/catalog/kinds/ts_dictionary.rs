//! Text search dictionaries (`CREATE TEXT SEARCH DICTIONARY`, section 12.6).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{InSchema, Name, ts_name};
use crate::pg::ServerVersion;

/// A text search dictionary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsDictionary {
    /// The template.
    pub template: Name,
    /// The options as the server keeps them, which is SQL: `stopwords = 'english'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
}

impl Kind for TsDictionary {
    const NAME: &'static str = "text search dictionary";
    const CATALOGS: &'static [&'static str] = &["pg_ts_dict"];

    fn query(_server: ServerVersion) -> String {
        let dictionaries = InSchema {
            class: class::PG_TS_DICT,
            catalog: "pg_ts_dict",
            prefix: "dict",
            owned: true,
            acl: false,
        };
        dictionaries.query(
            &format!(
                "{} AS template, o.dictinitoption AS options",
                ts_name("template", "tmpl", "o.dicttemplate")
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TEXT SEARCH DICTIONARY {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let options = self.options.as_ref().map_or_else(String::new, |options| format!(",\n    {options}"));
        vec![format!("CREATE {} (\n    TEMPLATE = {}{options}\n)", self.identity(head), self.template.sql())]
    }
}
