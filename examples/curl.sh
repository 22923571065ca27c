#!/bin/sh
# One short query for each resource of the service, with curl alone. Start the service with `make serve`, then:
#
#     examples/curl.sh
#     FORETELL_URL=https://foretell.example FORETELL_KEY=secret examples/curl.sh
#
# Each answer follows a line that begins with "#". The first refusal ends the script, and its problem is what is printed.
set -eu
URL=${FORETELL_URL:-http://127.0.0.1:8000}

ask() { # ask PATH [OPTION OF CURL]...: one query, a GET unless it has a body (--json, -d)
    path=$1
    shift
    printf '# %s\n' "$path"
    curl --silent --show-error --fail-with-body --max-time 60 ${FORETELL_KEY:+-H "Authorization: Bearer $FORETELL_KEY"} "$@" "$URL$path"
    printf '\n'
}

json='Content-Type: application/json'
model='"model": {"learner": {"kind": "ridge", "penalty": 0.1}}'
regime='"regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25}'
request="{$model, $regime}"

# What is there, and does it run?
ask /healthz
ask /v1/catalogue --output /dev/null --write-out 'HTTP %{http_code}, %{size_download} bytes'

# How well will it do? And how does that change with every number of the request?
ask /v1/predictions -H "$json" -d "$request"
ask /v1/predictions -H "$json" -d "{$model, $regime, \"include\": [\"gradient\"]}"

# Several at once, a line each, there and back.
printf '%s\n' "$request" "{$model, \"regime\": {\"kind\": \"regression\", \"n_samples\": 1600, \"n_features\": 400}}" |
    ask /v1/predictions/batch -H 'Content-Type: application/x-ndjson' --data-binary @-

# A double-descent curve, as a table.
ask /v1/sweeps -H "$json" -H 'Accept: text/csv' -d "{
    \"request\": {\"model\": {\"learner\": {\"kind\": \"ridge\", \"penalty\": 0}}, $regime},
    \"axes\": [{\"path\": \"regime.n_samples\", \"values\": [100, 200, 300, 500, 800, 1600]}],
    \"columns\": [\"test_error\", \"train_error\"]}"

# How many samples until the test error is 0.3?
ask /v1/requirements -H "$json" -d "{\"request\": $request,
    \"path\": \"regime.n_samples\", \"lower\": 10, \"upper\": 1e6, \"scale\": \"log\", \"reach\": {\"test_error\": 0.3}}"

# Which penalty is best?
ask /v1/optima -H "$json" -d "{\"request\": $request,
    \"over\": [{\"path\": \"model.learner.penalty\", \"lower\": 1e-6, \"upper\": 10, \"scale\": \"log\"}]}"

# How does the error scale, and how is a budget of compute spent best?
ask /v1/scaling-laws -H "$json" -d '{
    "spectrum": {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3}, "noise_variance": 0.1, "budgets": [1e9]}'

# Where do the eigenvalues of the sample covariance lie?
ask /v1/spectra -H "$json" -d "{\"matrix\": \"sample_covariance\", $regime, \"grid\": {\"num\": 0}, \"statistics\": [{\"name\": \"log_det\", \"shift\": 1}]}"

# Is the prediction right? Train it 20 times over at a smaller size, and wait up to 20 s for the comparison.
ask /v1/validations -H "$json" -H 'Prefer: wait=20' -d "{\"request\": {$model,
    \"regime\": {\"kind\": \"regression\", \"n_samples\": 80, \"n_features\": 40, \"noise_variance\": 0.25}}, \"replicates\": 20}"

# The data sets that are stored; data.sh stores one, and predicts on it.
ask '/v1/datasets?limit=3'

# The jobs so far, that one among them.
ask '/v1/jobs?limit=3'
