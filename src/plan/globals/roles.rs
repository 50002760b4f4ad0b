//! Roles, and what is set for them.

use super::{Choice, Planner, of_role};
use crate::catalog::database::{Setting, assignment};
use crate::catalog::globals::Role;
use crate::catalog::globals::role::{self, Attribute, Gives};
use crate::pg::quote::{ident, printable};

impl Planner<'_> {
    pub(super) fn roles(&mut self) {
        let wish = self.wish;
        for role in &wish.wanted.roles {
            if !self.chosen.contains(role.name.as_str()) {
                continue;
            }
            match wish.present.role(&role.name) {
                Some(present) => self.compare(role, present),
                None => self.create(role),
            }
        }
        let self_granted = !wish.powers.superuser && !self.plan.roles.is_empty();
        if self_granted {
            let user = ident(&wish.powers.user);
            self.note(&format!("{user} is no superuser and becomes a member of the roles that it creates, so that it can give objects to them"));
        }
    }

    fn create(&mut self, role: &Role) {
        let powers = self.wish.powers;
        if !powers.superuser && !powers.create_role {
            let (role, user) = (of_role(&role.name), ident(&powers.user));
            self.note(&format!("{role} is not created: {user} may not create roles"));
            return;
        }
        let mut attributes = role.differs_from(&Role::plain(&role.name));
        attributes.extend(role.password_clause());
        let attributes = self.allowed(role, attributes);
        let (clauses, told) = (role::clauses(&attributes), role::told(&attributes));
        let mut statements = vec![format!("CREATE {}{clauses}", role.identity())];
        if role.comment.is_some() {
            statements.push(role.comment_statement());
        }
        if !powers.superuser && !self.wish.present.server.at_least(16) {
            // From 16 on `createrole_self_grant` does it.
            statements.push(format!("GRANT {} TO CURRENT_USER", ident(&role.name)));
        }
        self.step(&format!("create {}{told}", of_role(&role.name)), statements, true);
        self.plan.roles.insert(role.name.clone());
        for label in &role.labels {
            self.one(&format!("label {}", of_role(&role.name)), label.set(&role.identity()));
        }
    }

    /// Those attributes that the restoring role may give; the others are told.
    fn allowed(&mut self, role: &Role, attributes: Vec<Attribute>) -> Vec<Attribute> {
        let (powers, new) = (self.wish.powers, self.wish.present.server.at_least(16));
        let holds = |told: &str| match told.trim_start_matches("NO") {
            // Before 16 only superusers give the other two, and every creator of roles gives this.
            "CREATEDB" => powers.create_db || !new,
            "REPLICATION" => powers.replication && new,
            "BYPASSRLS" => powers.bypass_rls && new,
            _ => false,
        };
        let may = |attribute: &Attribute| match attribute.gives {
            Gives::Anybody => true,
            Gives::Superuser => powers.superuser,
            Gives::Holder => powers.superuser || holds(&attribute.told),
        };
        let (good, bad): (Vec<_>, Vec<_>) = attributes.into_iter().partition(may);
        for attribute in bad {
            let (user, role) = (ident(&powers.user), of_role(&role.name));
            self.note(&format!("{role} does not get {}: {user} may not give it", attribute.told));
        }
        good
    }

    fn compare(&mut self, role: &Role, present: &Role) {
        let mut attributes = role.differs_from(present);
        // It can never lose that.
        attributes.retain(|a| a.gives != Gives::Superuser || self.wish.present.bootstrap != role.name);
        let same =
            if self.wish.passwords_known { role.password == present.password } else { !self.wish.update };
        if !same {
            attributes.extend(role.password_clause());
        }
        if role.name == self.wish.powers.user && !attributes.is_empty() {
            // It must be able to go on.
            let told: Vec<&str> = attributes.iter().map(|a| a.told.as_str()).collect();
            let (role, told) = (of_role(&role.name), told.join(", "));
            let what = format!("{role} restores and is never altered: the archive says {told}");
            self.plan.differences.push(printable(&what));
            attributes.clear();
        }
        let comment = role.comment != present.comment;
        let labels: Vec<_> = role.labels.iter().filter(|label| !present.labels.contains(label)).collect();
        let mut told: Vec<&str> = attributes.iter().map(|a| a.told.as_str()).collect();
        told.extend(comment.then_some("its comment"));
        told.extend((!labels.is_empty()).then_some("its security labels"));
        if told.is_empty() {
            return;
        }
        let what =
            format!("{} is there and differs: the archive says {}", of_role(&role.name), told.join(", "));
        if !self.wish.update {
            return self.differs(&what, Vec::new(), true);
        }
        let attributes = self.allowed(role, attributes);
        let mut statements = Vec::new();
        if !attributes.is_empty() {
            statements.push(format!("ALTER {}{}", role.identity(), role::clauses(&attributes)));
        }
        statements.extend(comment.then(|| role.comment_statement()));
        statements.extend(labels.iter().map(|label| label.set(&role.identity())));
        self.differs(&what, statements, true);
    }

    /// What is set for roles: in all databases, and in the one that is restored.
    pub(super) fn settings(&mut self) {
        let wish = self.wish;
        for setting in &wish.wanted.settings {
            self.setting(setting, None, &wish.present.settings);
        }
        if let Some(database) = &wish.in_database {
            for setting in database.wanted.iter().filter(|setting| setting.role.is_some()) {
                self.setting(setting, Some(database.name), database.present);
            }
        }
    }

    fn setting(&mut self, setting: &Setting, database: Option<&str>, present: &[Setting]) {
        let wanted = match &setting.role {
            Some(role) => self.chosen.contains(role.as_str()) && self.knows(role),
            None => self.wish.choice == Choice::All,
        };
        let Some((name, set)) = setting.text.split_once('=').zip(assignment(&setting.text)) else { return };
        let name = name.0;
        if !wanted {
            return;
        }
        let (whose, mut told) = match &setting.role {
            Some(role) => (format!("ROLE {}", ident(role)), of_role(role)),
            None => ("ROLE ALL".to_owned(), "all roles".to_owned()),
        };
        let place = database.map_or_else(String::new, |database| format!(" IN DATABASE {}", ident(database)));
        told.extend(database.map(|database| format!(" in the database {}", ident(database))));
        if self.wish.unknown_parameters.contains(name) {
            return self.note(&format!("{name} is not set for {told}: the target does not know it"));
        }
        let is_it = |other: &&Setting| {
            other.role == setting.role
                && other.text.split_once('=').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        let statement = format!("ALTER {whose}{place} SET {set}");
        match present.iter().find(is_it) {
            Some(found) if found.text == setting.text => {}
            Some(_) => self.differs(
                &format!("{name} of {told} differs: the archive says {set}"),
                vec![statement],
                false,
            ),
            None => {
                let new = setting.role.as_ref().is_none_or(|role| self.plan.roles.contains(role));
                if new || database.is_some() {
                    self.one(&format!("set {set} for {told}"), statement);
                } else {
                    self.differs(
                        &format!("{name} of {told} differs: the archive says {set}"),
                        vec![statement],
                        false,
                    );
                }
            }
        }
    }
}
