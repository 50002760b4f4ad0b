//! Tells the platform's part of an archive from the user's, by what the target has already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::options::Options;
use super::platform::{Platform, Roles};
use super::platform_rows;
use super::prepare::Prepared;
use crate::catalog::acl::AclItem;
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::Head;
use crate::catalog::model::{Entry, Model};
use crate::catalog::profile::{Belongs, Profile};
use crate::catalog::reader;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::manifest::Content;
use crate::pg::Session;
use crate::pg::quote::{literal, printable};

/// How many names a line holds.
const NAMES: usize = 8;

/// The target as it is.
struct There {
    profile: Profile,
    model: Model,
    belongs: Vec<Belongs>,
    /// Positions of the entries by what names them.
    by_identity: HashMap<String, usize>,
    /// Extensions that can be created.
    available: BTreeSet<String>,
    /// Schemas that the role may not create anything in.
    closed: BTreeSet<String>,
}

impl There {
    async fn read(profile: Profile, session: &Session) -> Result<Self> {
        let model = reader::read_model(&[session]).await?;
        let belongs = profile.judge(&model);
        let identity = |(at, entry): (usize, &Entry)| (name(entry), at);
        let by_identity = model.entries.iter().enumerate().map(identity).collect();
        let available = names(session, "SELECT name FROM pg_catalog.pg_available_extensions").await?;
        let closed = names(
            session,
            "SELECT nspname FROM pg_catalog.pg_namespace WHERE NOT pg_catalog.has_schema_privilege(oid, 'CREATE')",
        )
        .await?;
        Ok(Self { profile, model, belongs, by_identity, available, closed })
    }

    fn find(&self, entry: &Entry) -> Option<&Entry> {
        self.model.entries.get(*self.by_identity.get(&name(entry))?)
    }

    /// What an interrupted restore has made is not the platform's.
    fn forget_own(&mut self, archived: &Model, done: Option<&HashSet<String>>) {
        for entry in archived.entries.iter().filter(|_| done.is_some()) {
            let Head { id, .. } = &entry.head;
            let mark = format!("create {} {}.{}", entry.object.kind(), id.class, id.oid);
            if done.is_some_and(|done| done.contains(&mark)) {
                self.by_identity.remove(&name(entry));
            }
        }
    }

    /// Users' relations.
    fn occupied(&self) -> usize {
        let is_relation = |entry: &Entry| {
            matches!(
                entry.object.kind(),
                "table" | "view" | "materialized view" | "sequence" | "foreign table"
            )
        };
        let entries = self.model.entries.iter().zip(&self.belongs);
        entries.filter(|(entry, belongs)| **belongs == Belongs::User && is_relation(entry)).count()
    }
}

async fn names(session: &Session, sql: &str) -> Result<BTreeSet<String>> {
    Ok(session.query_text(sql).await?.into_iter().flatten().flatten().collect())
}

/// What names an object among all of a database.
fn name(Entry { head, object }: &Entry) -> String {
    format!("{} {}", object.kind(), object.identity(head))
}

/// What becomes of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is restored.
    Restored,
    /// The platform has it.
    Left,
    /// The platform has it; whether it is a user's cannot be told.
    Has,
    /// It is the platform's, whose target lacks it.
    Lacking,
    /// It cannot be restored there, and is told by another line.
    Dropped,
}

/// Takes the platform's part out of what was prepared.
pub(super) async fn part(
    options: &Options,
    platform: &mut Platform,
    prepared: &mut Prepared,
    session: &Session,
    roles: &Roles,
    done: Option<&HashSet<String>>,
) -> Result<()> {
    let mut there = There::read(platform.profile, session).await?;
    there.forget_own(&prepared.model, done);
    platform.occupied = Some(there.occupied());
    foreign_schemas(platform, prepared, &there);
    let belongs = platform.profile.judge(&prepared.model);
    let needed: HashSet<ObjectId> = prepared
        .model
        .entries
        .iter()
        .zip(&belongs)
        .filter(|(_, belongs)| **belongs == Belongs::User)
        .flat_map(|(entry, _)| entry.head.depends.iter().chain(&entry.head.detached_depends).copied())
        .collect();
    let mut fates = Vec::new();
    for (entry, belongs) in prepared.model.entries.iter().zip(belongs) {
        let fate = fate(platform, &there, roles, session, entry, belongs, needed.contains(&entry.head.id));
        fates.push(fate);
    }
    tell(platform, &prepared.model, &fates);
    granted(platform, &there, &prepared.model, &fates);
    missing(platform, &prepared.model, &fates);
    loads(platform, prepared, session, &fates, &there).await?;
    resets(options, platform, prepared, &there, roles);
    let mut fates = fates.into_iter();
    prepared.model.entries.retain(|_| fates.next() == Some(Fate::Restored));
    Ok(())
}

/// An archive of another kind may have schemas of its own by the platform's names.
fn foreign_schemas(platform: &mut Platform, prepared: &Prepared, there: &There) {
    if prepared.manifest.profile == there.profile {
        return;
    }
    let schemas = prepared.model.entries.iter().filter(|entry| entry.object.kind() == "schema");
    let taken: Vec<String> = schemas
        .filter(|entry| there.profile.has_schema(&entry.head.name))
        .map(|entry| printable(&entry.head.name))
        .collect();
    if !taken.is_empty() {
        platform.refuse(
            format!(
                "the archive is not of the platform {}, and has schemas that belong to the platform there: {}",
                there.profile,
                taken.join(", ")
            ),
            "leave them out with --exclude-schema; or, if the archive is of that platform after all, back it up with --profile",
        );
    }
}

fn fate(
    platform: &mut Platform,
    there: &There,
    roles: &Roles,
    session: &Session,
    entry: &Entry,
    belongs: Belongs,
    is_needed: bool,
) -> Fate {
    let found = there.find(entry);
    match (&entry.object, belongs) {
        (_, Belongs::Platform) => {
            if found.is_some() {
                Fate::Left
            } else {
                Fate::Lacking
            }
        }
        (Object::Extension(_), _) => extension(platform, there, entry, found, is_needed),
        (Object::Publication(publication), _) => {
            if let Some(Object::Publication(other)) = found.map(|found| &found.object) {
                platform.instead.insert(entry.head.id, publication.additions(&entry.head, other));
            }
            platform.tolerated.insert(entry.head.id);
            Fate::Restored
        }
        (Object::SystemAcl(acl), _) if !roles.can_act(&acl.granted_by) => Fate::Left,
        (Object::DefaultAcl(acl), _) if !roles.can_act(&acl.role) => {
            platform.warn(format!(
                "default privileges for {} are not restored: the role cannot act as it",
                printable(&acl.role)
            ));
            Fate::Dropped
        }
        (Object::Schema(_), _) if found.is_some_and(|found| !owns(roles, found)) => Fate::Has,
        (_, Belongs::Either) if found.is_some() => Fate::Has,
        (_, Belongs::Either) => {
            let schema = entry.head.schema.as_deref().filter(|_| entry.head.owner.is_some());
            if let Some(schema) = schema.filter(|schema| there.closed.contains(*schema)) {
                platform.refuse(
                    format!(
                        "{} cannot be created: {} may create nothing in the schema {}",
                        printable(&entry.object.identity(&entry.head)),
                        printable(&session.info().user),
                        printable(schema)
                    ),
                    "leave it out with --exclude-table or --exclude-schema, or move it to a schema of your own before the backup",
                );
            }
            if matches!(
                entry.object,
                Object::Trigger(_) | Object::Policy(_) | Object::SystemOwner(_) | Object::SystemLabel(_)
            ) {
                platform.tolerated.insert(entry.head.id);
            }
            Fate::Restored
        }
        (Object::Trigger(_), Belongs::User) if is_on_platform(platform.profile, entry) => {
            platform.tolerated.insert(entry.head.id);
            Fate::Restored
        }
        (Object::EventTrigger(_) | Object::Subscription(_), Belongs::User) => {
            platform.tolerated.insert(entry.head.id);
            Fate::Restored
        }
        (_, Belongs::User) => Fate::Restored,
    }
}

fn is_on_platform(profile: Profile, entry: &Entry) -> bool {
    entry.head.schema.as_deref().is_some_and(|schema| profile.has_schema(schema))
}

fn owns(roles: &Roles, entry: &Entry) -> bool {
    entry.head.owner.as_deref().is_none_or(|owner| roles.can_act(owner))
}

fn extension(
    platform: &mut Platform,
    there: &There,
    entry: &Entry,
    found: Option<&Entry>,
    is_needed: bool,
) -> Fate {
    let Object::Extension(wanted) = &entry.object else { return Fate::Restored };
    let name = printable(&entry.head.name);
    if let Some(Object::Extension(has)) = found.map(|found| &found.object) {
        if has.namespace != wanted.namespace {
            platform.warn(format!(
                "the extension {name} is in the schema {} there, and was in {}",
                printable(&has.namespace),
                printable(&wanted.namespace)
            ));
        }
        return Fate::Left;
    }
    let by_platform = entry.head.owner.as_deref().is_some_and(|owner| there.profile.has_role(owner));
    if by_platform && !is_needed && !there.available.contains(&entry.head.name) {
        platform.warn(format!(
            "the extension {name} is not available on the target and left out: nothing of yours depends on it"
        ));
        return Fate::Dropped;
    }
    Fate::Restored
}

/// One line for each kind of what is not restored.
fn tell(platform: &mut Platform, model: &Model, fates: &[Fate]) {
    let profile = platform.profile;
    for fate in [Fate::Left, Fate::Has, Fate::Lacking] {
        let mut kinds: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for (entry, _) in model.entries.iter().zip(fates).filter(|(_, other)| **other == fate) {
            kinds.entry(entry.object.kind()).or_default().push(entry);
        }
        for (kind, entries) in kinds {
            let names = if fate == Fate::Has { full_list(&entries) } else { list(&entries) };
            match fate {
                Fate::Lacking => platform.warn(format!(
                    "the platform {profile} of the target lacks, and nobody else may make, {kind}: {names}"
                )),
                Fate::Has => platform.note(format!("left as the target has it, {kind}: {names}")),
                _ => platform
                    .note(format!("left to the platform {profile}, which has its own, {kind}: {names}")),
            }
        }
    }
}

/// Names what was granted at the source on objects that are left to the platform, and is not there.
fn granted(platform: &mut Platform, there: &There, model: &Model, fates: &[Fate]) {
    let mut lost = Vec::new();
    let left = |fate: Fate| matches!(fate, Fate::Left | Fate::Has);
    for (entry, _) in model.entries.iter().zip(fates).filter(|(_, fate)| left(**fate)) {
        let Some(found) = there.find(entry) else { continue };
        let has = |item: &AclItem| {
            let mut there = found.head.acl.iter().flatten();
            there.any(|other| other.grantee == item.grantee && other.privilege == item.privilege)
        };
        for item in entry.head.acl.iter().flatten().filter(|item| !has(item)) {
            let who = item.grantee.as_deref().unwrap_or("PUBLIC");
            let text = format!("{} on {} to {who}", item.privilege, entry.object.identity(&entry.head));
            lost.push(printable(&text.replace('"', "")));
        }
    }
    if !lost.is_empty() {
        platform
            .warn(format!("not granted on what is the platform's, grant it yourself: {}", lost.join("; ")));
    }
}

/// Few names, or how many in which schemas.
fn list(entries: &[&Entry]) -> String {
    if entries.len() <= NAMES {
        return full_list(entries);
    }
    let schemas: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.head.schema.as_deref()).collect();
    let schemas: Vec<&str> = schemas.into_iter().collect();
    let of = if schemas.is_empty() { String::new() } else { format!(" of {}", schemas.join(", ")) };
    format!("{}{}", entries.len(), printable(&of))
}

fn full_list(entries: &[&Entry]) -> String {
    let names: Vec<String> =
        entries.iter().map(|entry| printable(&entry.object.identity(&entry.head).replace('"', ""))).collect();
    names.join("; ")
}

/// Refuses what needs something of the platform's that the target lacks.
fn missing(platform: &mut Platform, model: &Model, fates: &[Fate]) {
    let positions = model.positions();
    for (entry, _) in model.entries.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Restored) {
        for id in &entry.head.depends {
            let Some(at) = positions.get(id) else { continue };
            if fates.get(*at) != Some(&Fate::Lacking) {
                continue;
            }
            let Some(needed) = model.entries.get(*at) else { continue };
            platform.refuse(
                format!(
                    "{} needs {}, which the target's platform lacks",
                    printable(&entry.object.identity(&entry.head)),
                    printable(&needed.object.identity(&needed.head))
                ),
                "bring the target's platform to the version of the source's, or leave the object out",
            );
        }
    }
}

/// Takes the rows that go into tables which the target has already, and the sequences of those tables.
async fn loads(
    platform: &mut Platform,
    prepared: &mut Prepared,
    session: &Session,
    fates: &[Fate],
    there: &There,
) -> Result<()> {
    let positions = prepared.model.positions();
    let extensions: HashSet<&str> = there
        .model
        .entries
        .iter()
        .filter(|entry| entry.object.kind() == "extension")
        .map(|entry| entry.head.name.as_str())
        .collect();
    let fate = |id: &ObjectId| positions.get(id).and_then(|at| fates.get(*at)).copied();
    let (staged, own) = std::mem::take(&mut prepared.loads).into_iter().partition(|load| {
        let stream = &load.stream;
        match &stream.content {
            Content::Table | Content::ForeignTable { .. } => match stream.object.as_ref().and_then(fate) {
                Some(fate) => fate != Fate::Restored,
                None => prepared.model.entries.is_empty() && there.profile.has_schema(&stream.schema),
            },
            Content::ExtensionConfig { extension, .. } => extensions.contains(extension.as_str()),
            Content::LargeObjects | Content::LargeObjectData => false,
        }
    });
    prepared.loads = own;
    let (staged, findings) = platform_rows::look(session, there.profile, staged).await?;
    platform.findings.extend(findings);
    platform.loads = staged;
    let tables: HashSet<ObjectId> =
        platform.loads.iter().filter_map(|load| load.plan.stream.object).collect();
    let of_table = |entry: &Entry| match &entry.object {
        Object::SequenceOwner(part) => tables.contains(&part.table).then_some(part.sequence),
        Object::IdentitySequence(part) => tables.contains(&part.table).then_some(entry.head.id),
        _ => None,
    };
    let sequences: HashSet<ObjectId> = prepared.model.entries.iter().filter_map(of_table).collect();
    let left = |id: &ObjectId| fate(id).is_some_and(|fate| fate != Fate::Restored);
    let (theirs, own): (Vec<_>, Vec<_>) =
        std::mem::take(&mut prepared.sequences).into_iter().partition(|sequence| left(&sequence.object));
    prepared.sequences = own;
    let theirs: Vec<_> = theirs.into_iter().filter(|sequence| sequences.contains(&sequence.object)).collect();
    for sequence in theirs {
        let name = crate::pg::quote::qualified(Some(&sequence.schema), &sequence.name);
        // A list of privileges would ask for any of them.
        let both = format!(
            "SELECT pg_catalog.has_sequence_privilege({0}, 'UPDATE') AND pg_catalog.has_sequence_privilege({0}, 'SELECT')",
            literal(&name)
        );
        if session.query_one_text(&both).await?.as_deref() == Some("t") {
            platform.sequences.push(sequence);
        } else {
            platform.warn(format!(
                "the sequence {} cannot be set to {}: the role lacks SELECT and UPDATE on it; new rows may collide with restored ones",
                printable(&name),
                sequence.last_value
            ));
        }
    }
    Ok(())
}

/// Where all is restored, default privileges that the target has and the source had not are taken back: they would open
/// what users make later.
fn resets(options: &Options, platform: &mut Platform, prepared: &Prepared, there: &There, roles: &Roles) {
    let wanted = &options.wanted;
    if !wanted.selection.is_everything() || !wanted.sections.post_data || wanted.no_acl {
        return;
    }
    let user = prepared.model.entries.iter().any(|entry| entry.object.kind() == "schema");
    for (entry, belongs) in there.model.entries.iter().zip(&there.belongs) {
        let Object::DefaultAcl(acl) = &entry.object else { continue };
        if user && *belongs != Belongs::Platform && roles.can_act(&acl.role) {
            let statement = entry.object.drop(&entry.head);
            platform.resets.extend((!statement.is_empty()).then_some(statement));
        }
    }
}
