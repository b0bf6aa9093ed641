// An open loop for k6: requests come at a rate, whatever the answers take.  RATE=50 SECONDS=60 k6 run load.js
import http from "k6/http";
import { check } from "k6";

const rate = Number(__ENV.RATE || 20), duration = `${__ENV.SECONDS || 20}s`;
const url = __ENV.URL || "http://127.0.0.1:8000/embed";
const body = __ENV.BODY || JSON.stringify(["A broken valve was replaced at night.", "Call me Ishmael."]);
const headers = { "Content-Type": "application/json", "X-Idempotent": "1" }; // it may be sent to another slot
export const options = {
  scenarios: {
    open: { executor: "constant-arrival-rate", rate, timeUnit: "1s", duration, preAllocatedVUs: 10 * Math.ceil(rate) },
  },
  summaryTrendStats: ["p(50)", "p(90)", "p(99)", "max"],
  thresholds: { checks: ["rate==1"], dropped_iterations: ["count==0"] },
};

export default function () {
  check(http.post(url, body, { headers }), { "answered with 200": (answer) => answer.status === 200 });
}
