#!/bin/sh
# Install the servers that tests/lab talks to: Debian packages, as root. Called by `make lab`.
#
# The tests start each server themselves, with a configuration of their own in a temporary folder. Debian would
# start them at installation, on the usual ports; policy-rc.d forbids that for as long as this runs.
set -eu

packages="apache2-bin dovecot-core dovecot-imapd dovecot-lmtpd knot knot-dnsutils knot-dnssecutils nginx-light postfix
    python3-venv systemd unbound"

command -v apt-get >/dev/null || { echo "make lab needs Debian or Ubuntu (apt-get); tests/lab stays out elsewhere" >&2; exit 1; }

missing=
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || { echo "the lab's servers are installed: $packages"; exit 0; }

[ "$(id -u)" = 0 ] || { echo "make lab installs$missing, which needs root: sudo make lab" >&2; exit 1; }

policy=/usr/sbin/policy-rc.d
kept=
if [ -e $policy ]; then kept=$(mktemp); cp -p $policy "$kept"; fi
restore() {
    if [ -n "$kept" ]; then cp -p "$kept" $policy && rm -f "$kept"; else rm -f $policy; fi
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >$policy
chmod 755 $policy

export DEBIAN_FRONTEND=noninteractive
# No mail set-up of this machine: the tests bring their own.
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
echo "installing$missing"
log=$(mktemp)
# $missing is a list: splitting it is meant.
# shellcheck disable=SC2086
{ apt-get update -qq && apt-get install -yqq --no-install-recommends $missing; } </dev/null >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
}
rm -f "$log"
echo "installed; the lab tests now run with the others: make test"
