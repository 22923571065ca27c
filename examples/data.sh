#!/bin/sh
# From a file of rows to what models would do on it, with curl and awk alone. Start the service with `make serve`, then:
#
#     examples/data.sh
#     FORETELL_URL=https://foretell.example FORETELL_KEY=secret examples/data.sh
#
# Each answer follows a line that begins with "#". The first refusal ends the script, and its problem is what is printed.
set -eu
URL=${FORETELL_URL:-http://127.0.0.1:8000}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

ask() { # ask PATH [OPTION OF CURL]...: one query, a GET unless it has a body (--form, -d)
    path=$1
    shift
    printf '# %s\n' "$path"
    curl --silent --show-error --fail-with-body --max-time 60 ${FORETELL_KEY:+-H "Authorization: Bearer $FORETELL_KEY"} "$@" "$URL$path"
    printf '\n'
}

# 500 rows of 8 features; the label is a curved function of them, with noise.
awk 'function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand()) }
BEGIN {
    srand(1)
    print "a,b,c,d,e,f,g,h,y"
    for (row = 0; row < 500; row++) {
        line = ""
        for (i = 1; i <= 8; i++) { x[i] = normal(); line = line sprintf("%.6f,", x[i]) }
        print line sprintf("%.6f", x[1] + 0.5 * x[2] + sin(2 * x[3]) * x[4] + 0.3 * normal())
    }
}' > "$folder/rows.csv"

# Store them, and wait until they are read in.
ask /v1/datasets -H 'Prefer: wait=30' --form "file=@$folder/rows.csv" --form target=y --form task=regression > "$folder/job"
cat "$folder/job"
id=$(sed -n 's/.*"dataset_id":"\([0-9a-f]*\)".*/\1/p' "$folder/job" | head -n 1)

json='Content-Type: application/json'
regime="\"regime\": {\"kind\": \"dataset\", \"dataset_id\": \"$id\", \"n_samples\": 300}"
linear='"model": {"learner": {"kind": "ridge", "penalty": 0.01}, "fit_intercept": true}'
rbf='"model": {"features": {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.0}}, "learner": {"kind": "ridge", "penalty": 0.001}}'
relu='"model": {"features": {"kind": "random_features", "layers": [{"activation": "relu", "width": 200}]}, "learner": {"kind": "ridge", "penalty": 0.001}}'

# How well would each model do, trained on 300 samples?
ask /v1/predictions -H "$json" -H 'Prefer: wait=30' -d "{$linear, $regime}"
ask /v1/predictions -H "$json" -H 'Prefer: wait=30' -d "{$rbf, $regime}"
ask /v1/predictions -H "$json" -H 'Prefer: wait=30' -d "{$relu, $regime}"

# The learning curve of the kernel, up to four times the data there is.
ask /v1/sweeps -H "$json" -H 'Accept: text/csv' -d "{\"request\": {$rbf, $regime},
    \"axes\": [{\"path\": \"regime.n_samples\", \"values\": [50, 100, 200, 400, 800, 2000]}],
    \"columns\": [\"test_error\", \"interval_low\", \"interval_high\"]}"

# Its best penalty.
ask /v1/optima -H "$json" -d "{\"request\": {$rbf, $regime},
    \"over\": [{\"path\": \"model.learner.penalty\", \"lower\": 1e-6, \"upper\": 10, \"scale\": \"log\"}]}"

# Is that right? Train it on 20 random splits of the rows.
ask /v1/validations -H "$json" -H 'Prefer: wait=30' -d "{\"request\": {$rbf, $regime}, \"replicates\": 20}"

# Delete the rows, and all that was worked out from them.
ask "/v1/datasets/$id" -X DELETE --write-out 'HTTP %{http_code}'
