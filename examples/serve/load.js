// An open loop for k6: requests come at a rate, whatever the answers take.  RATE=50 SECONDS=60 k6 run load.js
import http from "k6/http";
import { check } from "k6";

const rate = Number(__ENV.RATE || 20), seconds = Number(__ENV.SECONDS || 20);
export const options = {
  scenarios: {
    open: { executor: "constant-arrival-rate", rate, timeUnit: "1s", duration: `${seconds}s`, preAllocatedVUs: 4 * rate },
  },
  summaryTrendStats: ["p(50)", "p(90)", "p(99)", "max"],
  thresholds: { checks: ["rate==1"], dropped_iterations: ["count==0"] },
};
const texts = ["A broken valve was replaced at night.", "Call me Ishmael."];
const headers = { "Content-Type": "application/json", "X-Idempotent": "1" }; // it may be sent to another slot

export default function () {
  const answer = http.post(__ENV.URL || "http://127.0.0.1:8000/embed", JSON.stringify(texts), { headers });
  check(answer, { "every text has a vector": (r) => r.status === 200 && r.json().length === texts.length });
}
