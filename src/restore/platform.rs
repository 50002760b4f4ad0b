//! A restore onto a managed service, or by a role that is no superuser: what the target's platform has already is left to
//! it, rows that belong into its tables go there, and who cannot own what he owned is replaced.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::options::Options;
use super::platform_parts;
use super::platform_rows::PlatformLoad;
use super::preflight::Finding;
use super::prepare::Prepared;
use crate::catalog::acting::{Acting, NewObjects};
use crate::catalog::ident::ObjectId;
use crate::catalog::model::SequenceValue;
use crate::catalog::profile::{Profile, Wish};
use crate::catalog::reader;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::pg::quote::printable;
use crate::pg::{Session, SessionKind};

/// What a restore does differently.
#[derive(Debug, Default)]
pub(super) struct Platform {
    /// The target's platform.
    pub(super) profile: Profile,
    /// As whom all is made.
    pub(super) acting: Acting,
    /// Rows that go into tables which the target has already.
    pub(super) loads: Vec<PlatformLoad>,
    /// Where the sequences of those tables stood.
    pub(super) sequences: Vec<SequenceValue>,
    /// What is done in place of creating an object.
    pub(super) instead: HashMap<ObjectId, Vec<String>>,
    /// What may fail without ending the restore.
    pub(super) tolerated: BTreeSet<ObjectId>,
    /// Statements that take back default privileges of the target which the source did not have.
    pub(super) resets: Vec<String>,
    /// What to know.
    pub(super) notes: Vec<String>,
    /// What to worry about, and what stands in the way.
    pub(super) findings: Vec<Finding>,
    /// Users' relations that the target has already; none when that was not looked at.
    pub(super) occupied: Option<usize>,
}

impl Platform {
    pub(super) fn note(&mut self, message: String) {
        self.notes.push(message);
    }

    pub(super) fn warn(&mut self, message: String) {
        self.findings.push(Finding { fatal: false, message, hint: None });
    }

    pub(super) fn refuse(&mut self, message: String, hint: &str) {
        self.findings.push(Finding { fatal: true, message, hint: Some(hint.to_owned()) });
    }
}

/// The roles of the target.
#[derive(Debug)]
pub(super) struct Roles {
    superuser: bool,
    /// Whether the session's role can act as each.
    can_act: HashMap<String, bool>,
}

impl Roles {
    /// `creates`: the database is to be created, and its owner is then who creates it.
    async fn read(session: &Session, creates: bool) -> Result<Self> {
        // To go on working on what one has given away, its new owner's privileges must be inherited.
        let privilege = if session.version().at_least(16) { "SET" } else { "MEMBER" };
        let sql = format!(
            "SELECT r.rolname, pg_catalog.pg_has_role(r.oid, '{privilege}') AND pg_catalog.pg_has_role(r.oid, 'USAGE') \
             FROM pg_catalog.pg_roles r"
        );
        let mut can_act = HashMap::new();
        for row in session.query_text(&sql).await? {
            if let [Some(name), Some(can)] = row.as_slice() {
                can_act.insert(name.clone(), can == "t");
            }
        }
        if creates {
            // Whose only member is the owner of the database that is asked.
            can_act.insert("pg_database_owner".to_owned(), true);
        }
        Ok(Self { superuser: session.info().is_superuser, can_act })
    }

    fn exists(&self, name: &str) -> bool {
        self.can_act.contains_key(name)
    }

    /// Whether the session's role can act as this one.
    pub(super) fn can_act(&self, name: &str) -> bool {
        self.superuser || self.can_act.get(name).copied().unwrap_or(false)
    }
}

/// Adapts what was prepared to the target: `existing` is a session with it, or nothing if it is to be created; `done` are
/// the marks of an interrupted restore that goes on.
pub(super) async fn adapt(
    options: &Options,
    mut prepared: Prepared,
    existing: Option<&Session>,
    done: Option<&HashSet<String>>,
) -> Result<Prepared> {
    let maintenance;
    let session = if let Some(session) = existing {
        session
    } else {
        let options = options.target.with_database("postgres");
        maintenance = Session::open(&options, SessionKind::Target).await?;
        &maintenance
    };
    let mut platform =
        Platform { profile: profile(options, session, existing).await?, ..Platform::default() };
    let roles = Roles::read(session, existing.is_none()).await?;
    platform.acting.managed = platform.profile.is_managed();
    let source = prepared.manifest.profile;
    if platform.profile.is_managed() {
        platform.note(format!(
            "the target is a database of the platform {}: what is the platform's own is left to it (--profile none restores all alike)",
            platform.profile
        ));
    } else if source.is_managed() {
        platform.note(format!(
            "the archive is of the platform {source}, the target is not: the platform's objects are restored as all others"
        ));
    }
    if let Some(session) = existing {
        platform.acting.defaults = new_objects(session).await?;
        if platform.profile.is_managed() {
            platform_parts::part(options, &mut platform, &mut prepared, session, &roles, done).await?;
        }
    }
    replace_roles(options, &mut platform, &prepared, session, &roles);
    prepared.plan_again(&options.wanted, options.means())?;
    prepared.platform = platform;
    Ok(prepared)
}

/// The profile that is asked for, or that the server shows.
async fn profile(options: &Options, session: &Session, existing: Option<&Session>) -> Result<Profile> {
    let Wish::Detect = options.profile else {
        return Ok(if let Wish::Take(profile) = options.profile { profile } else { Profile::None });
    };
    let name = session.query_one_text(&Profile::detection()).await?.unwrap_or_default();
    let found: Profile = name.parse().unwrap_or_default();
    // A new database beside a project's own has nothing of that platform in it.
    Ok(if existing.is_none() && found == Profile::Supabase { Profile::None } else { found })
}

/// What the target grants by itself on what the session's role creates.
async fn new_objects(session: &Session) -> Result<Vec<NewObjects>> {
    let me = session.info().user.as_str();
    let entries = reader::read_default_privileges(session).await?;
    let mine = entries.iter().filter_map(|entry| match &entry.object {
        Object::DefaultAcl(acl) if acl.role == me => Some(NewObjects {
            object_type: acl.object_type,
            schema: entry.head.schema.clone(),
            grantees: acl.privileges.iter().map(|item| item.grantee.clone()).collect(),
        }),
        _ => None,
    });
    Ok(mine.collect())
}

/// Finds the roles that cannot own or grant here, of all that are named.
fn replace_roles(
    options: &Options,
    platform: &mut Platform,
    prepared: &Prepared,
    session: &Session,
    roles: &Roles,
) {
    let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
    let mut named: BTreeSet<String> = BTreeSet::new();
    for entry in prepared.created() {
        if entry.object.kind() == "schema" && !prepared.besides.needed.contains(&entry.head.id) {
            platform.acting.schemas.insert(entry.head.name.clone(), entry.head.owner.clone());
        }
        if platform.instead.contains_key(&entry.head.id) {
            continue;
        }
        if let Some(owner) = entry.head.owner.as_deref() {
            // Extensions belong to whoever creates them.
            *owned.entry(owner).or_default() += usize::from(entry.object.kind() != "extension");
            named.insert(owner.to_owned());
        }
        let columns = entry.object.column_acls();
        for item in entry.head.acl.iter().flatten().chain(columns.iter().flat_map(|(_, acl)| acl)) {
            named.insert(item.grantor.clone());
            named.extend(item.grantee.clone());
        }
    }
    let source = prepared.manifest.profile;
    for name in named {
        // That a user's role is missing is for the preflight to say.
        let foreign = !roles.exists(&name) && source.has_role(&name);
        if foreign {
            platform.acting.unknown.insert(name.clone());
        }
        if foreign || (roles.exists(&name) && !roles.can_act(&name)) {
            platform.acting.replaced.insert(name);
        }
    }
    if !roles.superuser || !platform.acting.replaced.is_empty() {
        platform.acting.role = Some(session.info().user.clone());
    }
    let count = |(owner, count): (&str, usize)| {
        let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
        format!("{objects} of {}", printable(owner))
    };
    let replaced: Vec<String> = owned
        .into_iter()
        .filter(|(owner, count)| *count > 0 && platform.acting.replaced.contains(*owner))
        .map(count)
        .collect();
    let me = printable(&session.info().user);
    if replaced.is_empty() || options.wanted.no_owner || !options.wanted.sections.defines() {
        return;
    }
    if platform.acting.managed || roles.superuser {
        platform.warn(format!(
            "{me} becomes the owner of {}: it cannot act as who owned them; they keep their access",
            replaced.join(", ")
        ));
    } else {
        platform.refuse(
            format!("the role {me} may not give objects to their owners: {}", replaced.join(", ")),
            "restore as a superuser or as a member of those roles, or give --no-owner",
        );
    }
}
