//! Parts of the page that concern no single database, and what several parts need.

use crate::drill::text;
use crate::estate::gather::{Estate, StoreState};
use crate::estate::runs::RunFacts;
use crate::page::html::{Align, escape, table};

/// How many runs there were, and the share of those that succeeded.
pub(super) struct Success {
    pub(super) runs: usize,
    pub(super) share: Option<f64>,
}

/// Of runs that somebody stopped nothing is said.
pub(super) fn success<'a>(runs: impl Iterator<Item = &'a RunFacts>) -> Success {
    let counted = runs.filter(|run| !run.is_stopped());
    let (good, all) =
        counted.fold((0u32, 0u32), |(good, all), run| (good + u32::from(run.is_good()), all + 1));
    let share = (all > 0).then(|| f64::from(good) / f64::from(all));
    Success { runs: usize::try_from(all).unwrap_or(usize::MAX), share }
}

/// A database's name, with its store where there are several.
pub(super) fn in_store(estate: &Estate, store: &StoreState, database: &str) -> String {
    if estate.stores.len() > 1 { format!("{database} in {}", store.store) } else { database.to_owned() }
}

/// What lies where, and what room is left.
pub(super) fn stores(estate: &Estate) -> String {
    let heads = [
        ("store", Align::Text),
        ("archives", Align::Number),
        ("backups", Align::Number),
        ("leftovers", Align::Number),
        ("room", Align::Text),
    ];
    let rows: Vec<Vec<String>> = estate.stores.iter().map(row).collect();
    format!(
        "<h2>Stores</h2>{}\n",
        table("Leftovers: files of backups that were never completed", &heads, &rows)
    )
}

fn row(store: &StoreState) -> Vec<String> {
    let none = || "–".to_owned();
    let name = escape(&store.store);
    let Some(health) = &store.health else {
        let why = store.unreachable.as_deref().unwrap_or_default();
        return vec![name, none(), none(), none(), format!("<span class=\"bad\">{}</span>", escape(why))];
    };
    let bytes = health.databases.iter().map(|one| one.bytes).sum();
    let backups = health.databases.iter().map(|one| one.backups).sum();
    let place = if health.store == store.store {
        name
    } else {
        format!("{name}<br><span class=\"dim\">{}</span>", escape(&health.store))
    };
    let room = health.room.map_or_else(
        || "<span class=\"dim\">an object store does not tell</span>".to_owned(),
        |room| {
            let used = text::float(room.all.saturating_sub(room.free)) / text::float(room.all).max(1.0);
            format!(
                "<span class=\"meter\"><i style=\"width:{:.1}%\"></i></span>{} of {} free",
                used * 100.0,
                text::bytes(room.free),
                text::bytes(room.all)
            )
        },
    );
    vec![place, text::bytes(bytes), text::count(backups), text::count(health.orphans), room]
}

/// The keys that expire, or that nothing can be sealed for.
pub(super) fn keys(estate: &Estate) -> String {
    if estate.keys.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = estate
        .keys
        .iter()
        .map(|key| {
            let end =
                key.expires_at.map_or_else(|| "–".to_owned(), |end| end.strftime("%Y-%m-%d").to_string());
            let state = match &key.problem {
                Some(why) => format!("<span class=\"bad\">{}</span>", escape(why)),
                None => "<span class=\"good\">backups can be sealed for it</span>".to_owned(),
            };
            vec![escape(&key.key), end, state]
        })
        .collect();
    let heads = [("key", Align::Text), ("expires", Align::Text), ("state", Align::Text)];
    format!("<h2>Keys</h2>{}\n", table("Recipients that expire, or that cannot be read", &heads, &rows))
}
