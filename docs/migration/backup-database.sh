#!/usr/bin/env bash
# backup-database.sh [KIND] [ENCRYPT] [UPLOAD]: the arguments of older scripts, handed on to pgcask.
#   KIND     daily (the default), weekly, monthly, pre-deploy, manual
#   ENCRYPT  true (the default) or false
#   UPLOAD   true (the default): a copy goes to s3://BACKUP_S3_BUCKET; false: into BACKUP_DIR alone
# See docs/migration.md for the variables that are read.
set -euo pipefail

fail() {
    printf 'backup-database.sh: %s\n' "$1" >&2
    exit 2
}

kind=${1:-daily}
encrypt=${2:-true}
upload=${3:-true}
[ $# -le 3 ] || fail "too many arguments: [KIND] [ENCRYPT] [UPLOAD]"

arguments=(--to "${BACKUP_DIR:-./backups}" --kind "$kind" --no-overlap)
case $encrypt in
    true) ;;
    false)
        # Keys that are set beside would contradict it.
        unset PGCASK_RECIPIENT BACKUP_GPG_RECIPIENT PGCASK_KEY_COMMAND
        unset PGCASK_PASSPHRASE PGCASK_PASSPHRASE_FILE PGCASK_PASSPHRASE_COMMAND
        arguments+=(--no-encrypt)
        ;;
    *) fail "ENCRYPT is true or false, not $encrypt" ;;
esac
case $upload in
    true)
        [ -n "${BACKUP_S3_BUCKET:-}" ] || fail "BACKUP_S3_BUCKET names no bucket to upload to; give false as the third argument to go without"
        arguments+=(--copy-to "s3://${BACKUP_S3_BUCKET#s3://}")
        ;;
    false) ;;
    *) fail "UPLOAD is true or false, not $upload" ;;
esac
# Without DATABASE_URL it is the configured database, or what PGHOST and its kind say.
if [ -n "${DATABASE_URL:-}" ]; then
    arguments+=("$DATABASE_URL")
fi
exec pgcask backup "${arguments[@]}"
