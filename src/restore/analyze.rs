//! Statistics of what was loaded: of each table with its rows, and of partitioned tables when all are in.

use super::steps::Steps;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::event::Event;
use crate::pg::Session;
use crate::pg::quote::printable;
use crate::stop::Stop;

impl Steps {
    pub(super) async fn analyze(&self, session: &Session, load: usize) -> Result<()> {
        let Some(plan) = self.loads.get(load) else {
            return Ok(());
        };
        let name = plan.stream.qualified();
        // Rows that several sessions loaded are not frozen: marking them all visible now makes the foreign keys'
        // checks twice as fast, and spares the server an anti-wraparound vacuum later.
        let sql = if plan.is_frozen(self.keep_rows) {
            format!("ANALYZE {name}")
        } else {
            format!("VACUUM (FREEZE, ANALYZE) {name}")
        };
        self.gather(session, &sql, &plan.stream.display()).await
    }

    /// Gathers those of partitioned tables, which nobody else does: autovacuum passes them over.
    pub(super) async fn analyze_parents(&self, session: &Session, stop: &Stop) -> Result<()> {
        // Before PostgreSQL 18, all that is below a table is sampled with it.
        let only = session.version().at_least(18);
        for entry in &self.definitions.entries {
            let Object::Table(table) = &entry.object else { continue };
            let there = self.definitions.sectioned.there.contains(&entry.head.id);
            if table.partition_key.is_none() || there || !(only || table.partition.is_none()) {
                continue;
            }
            stop.check()?;
            let name = entry.head.qualified();
            let sql = format!("ANALYZE {}{name}", if only { "ONLY " } else { "" });
            self.gather(session, &sql, &printable(&name)).await?;
        }
        Ok(())
    }

    async fn gather(&self, session: &Session, sql: &str, name: &str) -> Result<()> {
        match session.execute(sql).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_lost() => Err(error.into()),
            // Statistics are no data: a child that lies on a foreign server, or one of another owner, must not undo all.
            Err(error) => {
                let message = format!("no statistics of {name}: {error}");
                self.observer.event(Event::Warning { message });
                Ok(())
            }
        }
    }
}
