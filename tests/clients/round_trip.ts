// A generated TypeScript client in use: a prediction, a job, the catalogue, and a refusal with its pointer.
import assert from "node:assert/strict";
import { client } from "./client/client.gen";
import { createPrediction, readCatalogue } from "./client/sdk.gen";
import type { Prediction, PredictionRequest } from "./client/types.gen";

const request: PredictionRequest = {
  model: { features: { kind: "linear" }, learner: { kind: "ridge", penalty: 0.1 } },
  regime: {
    kind: "regression",
    n_samples: 800,
    n_features: 400,
    covariance: { kind: "discrete", eigenvalues: [1, 5], weights: [0.5, 0.5] },
    noise_variance: 0.25,
  },
};

client.setConfig({ baseUrl: process.argv[2] });

const answer = await createPrediction({ body: request });
const prediction = answer.data as Prediction;
assert.equal(prediction.status, "converged");
assert.ok(prediction.test_error !== null && prediction.test_error > 0.25);

const refused = await createPrediction({
  body: { ...request, model: { learner: { kind: "ridge", penalty: -1 } } },
});
assert.equal(refused.error?.code, "validation_error");
assert.equal(refused.error?.errors?.[0]?.pointer, "/model/learner/penalty");

const catalogue = await readCatalogue();
assert.ok(catalogue.data?.covariances.some((kind) => kind.kind === "power_law"));
console.log("TypeScript client: a prediction, a refusal and the catalogue");
