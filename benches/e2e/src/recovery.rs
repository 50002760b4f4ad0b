//! What was lost is a part: it must cost what the part weighs.

use crate::contest::{Contest, Entry, Target, Tools};

impl Tools<'_> {
    /// Restores of a part of tpch, from an archive of all of it.
    pub(crate) fn recoveries(&self, source: &str, target: &str) -> Vec<Contest> {
        vec![self.one_table(source, target), self.lost_rows(source, target), self.first_class(source, target)]
    }

    /// One table against its rows by `COPY FROM`, its key, and nothing else: no encryption, no proof.
    fn one_table(&self, source: &str, target: &str) -> Contest {
        let rows = self.scratch.join("customer.copy");
        let rows = rows.display();
        let setup = format!(
            "{}\npsql -d '{source}' -qAtc 'COPY customer TO STDOUT' > {rows}\n\
             pg_dump -d '{source}' -t customer --section=pre-data -f {rows}.sql",
            self.archive(source)
        );
        let script = format!(
            "psql -d '{target}' -q -v ON_ERROR_STOP=1 -f {rows}.sql -c \"\\copy public.customer FROM '{rows}'\" \
             -c 'ALTER TABLE public.customer ADD PRIMARY KEY (c_custkey)'"
        );
        let peer = Entry {
            label: "COPY FROM and the key, by psql".to_owned(),
            script,
            target: Some(Target::EMPTY),
            writes: None,
            ours: false,
        };
        let ours = |label: &str, more: &str| {
            self.recovery(label, target, &format!("--table customer --no-dependencies {more}"), Target::EMPTY)
        };
        let entries = vec![
            peer,
            ours("pgcask restore --table, content proven, analysed", ""),
            ours("pgcask restore --table --no-verify --no-analyze", "--no-verify --no-analyze"),
        ];
        let title = "One table of 2 % of the archive".to_owned();
        Contest { name: "table", title, database: "tpch", setup, entries, ratios: true, apart: false }
    }

    /// Rows that were deleted by mistake against reading their table once.
    fn lost_rows(&self, source: &str, target: &str) -> Contest {
        let accident =
            Target { template: "tpch", accident: "DELETE FROM lineitem WHERE l_orderkey % 6000 = 1" };
        let peer = Entry {
            label: "COPY lineitem TO, by psql: the table read once".to_owned(),
            script: format!("psql -d '{target}' -qAtc 'COPY lineitem TO STDOUT' > /dev/null"),
            target: Some(accident.clone()),
            writes: None,
            ours: false,
        };
        let ours = self.recovery(
            "pgcask restore --only missing",
            target,
            "--table lineitem --only missing --yes",
            accident,
        );
        let title = "About 1,000 lost rows of 6 million (at scale 1)".to_owned();
        let (setup, entries) = (self.archive(source), vec![peer, ours]);
        Contest { name: "rows", title, database: "tpch", setup, entries, ratios: true, apart: false }
    }

    /// What matters most, before all the rest, against restoring that alone.
    fn first_class(&self, source: &str, target: &str) -> Contest {
        let label = "pgcask restore --table orders --table customer";
        let alone = self.recovery(label, target, "--table orders --table customer", Target::EMPTY);
        let first = self.recovery(
            "pgcask restore --priority, to the end of P0",
            target,
            "--priority P0=orders,customer --stop-after P0",
            Target::EMPTY,
        );
        let title = "P0 = orders and customer".to_owned();
        let (setup, entries) = (self.archive(source), vec![Entry { ours: false, ..alone }, first]);
        Contest { name: "priority", title, database: "tpch", setup, entries, ratios: true, apart: false }
    }

    fn archive(&self, source: &str) -> String {
        let store = self.scratch.join("recovery-store");
        format!("rm -rf {}; {}", store.display(), self.backup_script(1, source, &store, &self.to_recipient()))
    }

    fn recovery(&self, label: &str, target: &str, more: &str, before: Target) -> Entry {
        let script = self.restore_script(&self.scratch.join("recovery-store"), target, more);
        Entry { label: label.to_owned(), script, target: Some(before), writes: None, ours: true }
    }
}
