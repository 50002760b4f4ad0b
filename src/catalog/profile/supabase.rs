//! Supabase. The names are those of the platform's own image and of the lists of its command-line tool (`supabase/postgres`:
//! `migrations/db`; `supabase/cli`: `pkg/migration/dump.go`).

use super::{Bookkeeping, Rules};

/// What a Supabase project has of its own.
pub(super) const RULES: Rules = Rules {
    name: "supabase",
    // Whoever may be a role of the platform must not lose a table in `public`: old projects' consoles made users' tables as
    // `supabase_admin`. So no owner counts outside the platform's schemas.
    owners_anywhere: &[],
    roles: &["supabase_*", "pgbouncer", "pgsodium_*", "pgtle_admin", "dashboard_user", "cli_login_*"],
    schemas: &[
        "_analytics",
        "_realtime",
        "_supavisor",
        "auth",
        "etl",
        "extensions",
        "graphql",
        "graphql_public",
        "pgbouncer",
        "pgsodium",
        "pgsodium_masks",
        "pgtle",
        "realtime",
        "storage",
        "supabase_functions",
        "vault",
    ],
    data: &["auth", "storage", "supabase_functions", "vault"],
    bookkeeping: &[
        Bookkeeping { schema: "auth", table: "schema_migrations" },
        Bookkeeping { schema: "storage", table: "migrations" },
        Bookkeeping { schema: "supabase_functions", table: "migrations" },
    ],
    not_portable: &["vault"],
    certain: "pg_catalog.to_regrole('supabase_admin') IS NOT NULL \
              AND EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = 'auth' \
              AND pg_catalog.pg_get_userbyid(n.nspowner) IN ('supabase_admin', 'supabase_auth_admin'))",
};
