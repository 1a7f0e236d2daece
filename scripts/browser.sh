#!/usr/bin/env bash
# Installs Chromium, in which the tests open the HTML page, where apt-get and root can. Where they cannot, it prints why
# in one line, and those tests are skipped.
set -euo pipefail

say() { echo "browser.sh: $*"; }

for name in chromium chromium-browser google-chrome; do
  # Ubuntu's chromium-browser is there without the browser: it only names the snap that has it.
  if "$name" --version >/dev/null 2>&1; then exit 0; fi
done
skipped="the tests of the page in a browser are skipped"
command -v apt-get >/dev/null || {
  say "no Chromium, and no apt-get to install it with; $skipped"
  exit 0
}
[ "$(id -u)" = 0 ] || {
  say "no Chromium, and only root may install it; $skipped; to run them: sudo apt-get install chromium"
  exit 0
}
say "installing Chromium (about 450 MB)"
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=1 -o Acquire::http::Timeout=30)
# The lists of one of several sources may be out of reach: what counts is whether the package is found.
output=$("${apt[@]}" update 2>&1) || true
output+=$'\n'$("${apt[@]}" install --yes --no-install-recommends chromium 2>&1) || {
  say "Chromium cannot be installed here ($(sed -n 's/^E: //p' <<<"$output" | tail -n 1)); $skipped"
}
