//! What the store lets us do, tried out with an object of our own.

use bytes::Bytes;

use super::clock::judge;
use super::{Finding, Level};
use crate::clock::Clock;
use crate::error::Error;
use crate::store::{Store, StoreError, naming, objects, probe};

const CHECK: &str = "store rights";

pub(super) async fn check(store: &Store, clock: Clock) -> Vec<Finding> {
    let mut found = Vec::new();
    match put_and_get(store, clock, &mut found).await {
        Ok(()) => {}
        Err(error) => {
            let why = "backups need to put and to list objects, and to read what lies beside archives";
            found.push(Finding::of_error(CHECK, Level::Critical, &Error::from(error), why));
        }
    }
    found.push(match probe::multipart(store).await {
        Ok(()) => Finding::ok(CHECK, "multipart uploads can be begun and given up"),
        Err(error) => {
            let why = "archives are uploaded in parts, and uploads that cannot be given up hold space";
            Finding::of_error(CHECK, Level::Critical, &Error::from(error), why)
        }
    });
    found
}

async fn put_and_get(store: &Store, clock: Clock, found: &mut Vec<Finding>) -> Result<(), StoreError> {
    // No listing takes it for a part of a backup; who may read sidecars alone may read it.
    let key = format!(".pgcask/doctor-{}.json", naming::new_id()?);
    let content =
        Bytes::from_static(b"{\"what\":\"pgcask doctor tried this store out; it can be removed\"}\n");
    let before = clock.now();
    objects::put_new(store, &key, content.clone()).await?;
    let after = clock.now();
    let read = objects::read(store, &key).await;
    // Other bytes: the same ones are taken for what an answer that was lost had said.
    let again = objects::put_new(store, &key, Bytes::from_static(b"{}\n")).await;
    let listed = objects::below(store, ".pgcask").await;
    let removed = objects::remove(store, &key).await;
    found.push(match again {
        Err(StoreError::AlreadyExists { .. }) => Finding::ok(CHECK, "an object that is there is not overwritten"),
        Ok(()) => Finding::new(
            CHECK,
            Level::Warning,
            "the store overwrites an object although it was asked not to",
            "two hosts at the same moment could overwrite each other's objects; names are unique all the same",
        )
        .remedy("take a store that knows conditional puts (If-None-Match)"),
        Err(error) => return Err(error),
    });
    if read?.as_ref() != Some(&content) {
        let why = "what is written must come back";
        found.push(
            Finding::new(CHECK, Level::Critical, "the store gives back something else", why)
                .remedy("put no cache between, or take another store: this one cannot be trusted"),
        );
    }
    if let Some(object) = listed?.into_iter().find(|object| object.key == key) {
        found.push(Finding::ok(CHECK, "objects can be put, read and listed"));
        found.push(judge("store clock", "the store's", (before, after), object.written));
    } else {
        let why = "`latest`, `list` and `prune` go by listings";
        found.push(
            Finding::new(CHECK, Level::Critical, "a listing lacks an object that was just put", why)
                .remedy("put no cache between, or take a store whose listings are up to date at once"),
        );
    }
    found.push(match removed {
        Ok(()) => Finding::new(
            CHECK,
            Level::Notice,
            "these credentials may delete",
            "who takes this host over can delete backups; only the host that prunes needs that right",
        )
        .remedy("on the host that backs up: credentials without s3:DeleteObject (docs/retention.md)"),
        Err(StoreError::PermissionDenied { .. }) => Finding::ok(
            CHECK,
            format!(
                "these credentials may not delete, as it should be where backups are made; {} is left",
                store.display(&key)
            ),
        ),
        Err(error) => return Err(error),
    });
    Ok(())
}
