#!/usr/bin/env bash
# restore-database.sh local FILE | s3 [KEY] | pitr TIME   [--dry-run] [--yes]: the arguments of older scripts, handed on to pgcask.
#   local FILE  an archive on this machine
#   s3 [KEY]    an archive in s3://BACKUP_S3_BUCKET; without KEY the newest
#   pitr TIME   the newest backup begun before TIME; what was written between them is not in it
# The database of DATABASE_URL is replaced as a whole. See docs/migration.md for the variables that are read.
set -euo pipefail

fail() {
    printf 'restore-database.sh: %s\n' "$1" >&2
    exit 2
}

bucket() {
    [ -n "${BACKUP_S3_BUCKET:-}" ] || fail "BACKUP_S3_BUCKET names no bucket"
    printf 's3://%s' "${BACKUP_S3_BUCKET#s3://}"
}

options=()
words=()
for word in "$@"; do
    case $word in
        --dry-run | --yes) options+=("$word") ;;
        -*) fail "the option $word is not known" ;;
        *) words+=("$word") ;;
    esac
done
[ -n "${DATABASE_URL:-}" ] || fail "DATABASE_URL names no database to restore into"

case ${words[0]:-} in
    local)
        [ ${#words[@]} -eq 2 ] || fail "local takes a FILE"
        [ -f "${words[1]}" ] || fail "${words[1]} is no file"
        archive=${words[1]}
        ;;
    s3)
        [ ${#words[@]} -le 2 ] || fail "s3 takes one KEY at most"
        store=$(bucket)
        if [ ${#words[@]} -eq 2 ]; then
            archive=$store/${words[1]}
        else
            archive=latest
            options+=(--store "$store")
        fi
        ;;
    pitr)
        [ ${#words[@]} -eq 2 ] || fail "pitr takes a TIME"
        archive=latest
        options+=(--before "${words[1]}" --store "${BACKUP_DIR:-./backups}")
        printf 'restore-database.sh: the newest backup begun before %s; what was written after it began is not in it\n' "${words[1]}" >&2
        ;;
    *) fail "local FILE, s3 [KEY] or pitr TIME is expected" ;;
esac
exec pgcask restore "$archive" --into "$DATABASE_URL" --swap "${options[@]}"
