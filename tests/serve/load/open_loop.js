// An open loop: requests are sent at a constant rate, however long the answers take. Half of them are GET, half are POST
// that may be repeated. RATE (a second), DURATION, URL, CLIENTS and REUSE are environment variables.
import http from "k6/http";

export const options = {
  scenarios: {
    open: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE),
      timeUnit: "1s",
      duration: __ENV.DURATION,
      preAllocatedVUs: Number(__ENV.CLIENTS),
      maxVUs: Number(__ENV.CLIENTS),
    },
  },
  // A client of Go sends a request again by itself where a connection that it has used before is closed (net/http,
  // Transport): then the proxy's failures would not show.
  noConnectionReuse: __ENV.REUSE !== "yes",
  summaryTrendStats: ["avg", "p(50)", "p(90)", "p(99)", "max"],
};

export default function () {
  const params = { timeout: "60s" };
  if (Math.random() < 0.5) {
    http.get(__ENV.URL, params);
  } else {
    params.headers = { "Idempotency-Key": "load", "Content-Type": "application/json" };
    http.post(__ENV.URL, JSON.stringify({ prompt: "x".repeat(2000) }), params);
  }
}
