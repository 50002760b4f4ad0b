//! Where tablespaces go on a host that has other folders.

use crate::catalog::globals::Tablespace;

/// New folders of tablespaces, by the name or the folder that they had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TablespaceMap {
    pairs: Vec<(String, String)>,
}

/// Why a pair is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not OLD=NEWDIR with an absolute NEWDIR")]
pub struct MapError(String);

impl TablespaceMap {
    /// Reads pairs `OLD=NEWDIR`. A backslash before `=` takes it as a part of OLD, as in `pg_basebackup`. An empty NEWDIR
    /// means a tablespace within the data folder, which servers allow for tests (`allow_in_place_tablespaces`).
    ///
    /// # Errors
    /// When a pair has no `=`, an empty OLD, or a NEWDIR that is not absolute.
    pub fn parse(pairs: &[String]) -> Result<Self, MapError> {
        let one = |text: &String| {
            let (old, new) = split(text).ok_or_else(|| MapError(text.clone()))?;
            let good = !old.is_empty() && (new.is_empty() || new.starts_with('/'));
            if good { Ok((old, new)) } else { Err(MapError(text.clone())) }
        };
        Ok(Self { pairs: pairs.iter().map(one).collect::<Result<_, _>>()? })
    }

    /// The folder of a tablespace at the target.
    pub fn location<'a>(&'a self, tablespace: &'a Tablespace) -> &'a str {
        let is = |old: &String| *old == tablespace.name || (*old == tablespace.location && !old.is_empty());
        self.pairs.iter().find(|(old, _)| is(old)).map_or(&tablespace.location, |(_, new)| new)
    }

    /// The OLDs that mean none of these tablespaces.
    pub fn unmatched(&self, tablespaces: &[Tablespace]) -> Vec<&str> {
        let known = |old: &str| tablespaces.iter().any(|space| space.name == old || space.location == old);
        self.pairs.iter().map(|(old, _)| old.as_str()).filter(|old| !known(old)).collect()
    }
}

/// Splits at the first `=` that no backslash stands before.
fn split(text: &str) -> Option<(String, String)> {
    let mut old = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '=' => return Some((old, rest.collect())),
            '\\' if rest.as_str().starts_with('=') => old.extend(rest.next()),
            c => old.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_folders_are_mapped() {
        let pairs = ["fast=/new/fast", "/old/slow=/new/slow", "a\\=b=/c=d", "here="].map(str::to_owned);
        let map = TablespaceMap::parse(&pairs).unwrap();
        let space = |name: &str, location: &str| Tablespace {
            name: name.to_owned(),
            location: location.to_owned(),
            ..Tablespace::default()
        };
        for (name, old, new) in [
            ("fast", "/old/fast", "/new/fast"),
            ("slow", "/old/slow", "/new/slow"),
            ("a=b", "", "/c=d"),
            ("here", "/x", ""),
            ("other", "/old/other", "/old/other"),
        ] {
            assert_eq!(map.location(&space(name, old)), new, "{name}");
        }
        assert_eq!(map.unmatched(&[space("fast", ""), space("here", "")]), ["/old/slow", "a=b"]);
        for bad in ["fast", "=/x", "fast=relative", "a\\=/b"] {
            assert!(TablespaceMap::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
