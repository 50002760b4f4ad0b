//! What the configuration says of keeping backups, for `prune` and `backup --prune`.

use super::configured::listed;
use super::prune::{PolicyArgs, PruneArgs};
use crate::config::{Config, Retention};
use crate::error::Result;

/// Fills what a prune needs: the policy of the database that is named, or those of all.
pub(super) fn prune(args: &mut PruneArgs, config: &Config) -> Result<()> {
    let named = args.database.clone();
    listed(&mut args.database, &mut args.store, config)?;
    let given = args.policy.clone();
    policy(&mut args.policy, &config.settings(named.as_deref())?.retention);
    if named.is_none() {
        for name in config.databases() {
            let mut own = given.clone();
            policy(&mut own, &config.settings(Some(name))?.retention);
            args.policy.own.push((config.database_name(name), own));
        }
    }
    Ok(())
}

/// A policy with what is configured of it.
pub(super) fn policy(args: &mut PolicyArgs, configured: &Retention) {
    for (kind, span) in &configured.ages {
        if args.ages.iter().all(|(given, _)| given != kind) {
            args.ages.push((*kind, *span));
        }
    }
    let slots = [
        &mut args.keep_last,
        &mut args.keep_daily,
        &mut args.keep_weekly,
        &mut args.keep_monthly,
        &mut args.keep_yearly,
    ];
    for (slot, configured) in slots.into_iter().zip(configured.counts) {
        *slot = slot.or(configured);
    }
}
