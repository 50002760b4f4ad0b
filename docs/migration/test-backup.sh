#!/usr/bin/env bash
# test-backup.sh [FILE] [--full-test]: the arguments of older scripts, handed on to pgcask.
#   FILE         the archive; without it the newest in BACKUP_DIR
#   --full-test  restore it on trial, into a private server or the one that DRILL_SERVER names, and prove every row
# See docs/migration.md for the variables that are read.
set -euo pipefail

fail() {
    printf 'test-backup.sh: %s\n' "$1" >&2
    exit 2
}

command="test"
archive=latest
for word in "$@"; do
    case $word in
        --full-test) command="drill" ;;
        -*) fail "the option $word is not known" ;;
        *)
            [ "$archive" = latest ] || fail "one FILE at most"
            archive=$word
            ;;
    esac
done

arguments=("$archive" --store "${BACKUP_DIR:-./backups}")
if [ "$command" = drill ] && [ -n "${DRILL_SERVER:-}" ]; then
    arguments+=(--server "$DRILL_SERVER")
fi
exec pgcask "$command" "${arguments[@]}"
