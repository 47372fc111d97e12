#!/bin/sh
# The demo: a made-up fleet over 90 days and the sample reports, taken in, summed up and explained.
# Called by `make demo` as: sh scripts/demo.sh TLSRPT FOLDER. The folder is made anew each time.
set -eu

tlsrpt=$1 folder=$2

rm -rf "$folder"
mkdir -p "$folder"
TLSRPT_STORE=$folder/tlsrpt.db
TLSRPT_TODAY=2026-06-30 # the last day of the fleet: the output is the same whenever this runs, and the samples are older
export TLSRPT_STORE TLSRPT_TODAY

show() {
    printf '\n$ tlsrpt %s\n' "$*"
    "$tlsrpt" "$@"
}

show sample fleet --until "$TLSRPT_TODAY" "$folder/mail"
show ingest "$folder/mail"
show summary --since 90d
show incidents

# The samples hold on purpose what cannot be read, and ingest says so by exit code 1.
show ingest tests/data/reports || [ $? -eq 1 ]
show quarantine list

printf '\nThe store is %s. Ask it yourself:\n  export TLSRPT_STORE=%s TLSRPT_TODAY=%s\n  %s reports\n' \
    "$TLSRPT_STORE" "$TLSRPT_STORE" "$TLSRPT_TODAY" "$tlsrpt"
