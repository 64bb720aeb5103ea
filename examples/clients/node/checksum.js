// Submits a job, follows it to its end and prints what it returned: node checksum.js TARGET DIRECTORY
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTO = process.env.HEADRACE_PROTO ?? fileURLToPath(new URL("../../../proto", import.meta.url));
const PATIENCE = 60_000; // milliseconds that a watch goes on without its server

const definition = loader.loadSync("headrace/v1/job_service.proto", {
  includeDirs: [PROTO],
  longs: String, // int64 does not fit into a number
  enums: String,
  oneofs: true, // update.kind says which field is set
});
const { JobService } = grpc.loadPackageDefinition(definition).headrace.v1;

const [target = "127.0.0.1:50551", directory = "/usr/share"] = process.argv.slice(2);
const jobs = new JobService(target, grpc.credentials.createInsecure(), {
  // Unary calls that failed for want of a server are repeated by gRPC itself.
  "grpc.service_config": readFileSync(`${PROTO}/headrace/v1/service_config.json`, "utf8"),
});
const submitJob = promisify(jobs.SubmitJob).bind(jobs);

/** Yields every update of a job, the last of them `finished`. A watch that broke goes on behind the last event. */
async function* watch(jobId) {
  let afterRevision; // not set: a snapshot first
  let heard = Date.now();
  for (;;) {
    try {
      for await (const { update } of jobs.WatchJob({ jobId, afterRevision, includeMessages: true })) {
        heard = Date.now();
        afterRevision = update.snapshot?.revision ?? update.event?.revision ?? afterRevision;
        yield update;
        if (update.finished) return;
      }
    } catch (error) {
      const passes = [grpc.status.UNAVAILABLE, grpc.status.CANCELLED].includes(error.code);
      if (!passes || Date.now() - heard > PATIENCE) throw error;
    }
    await setTimeout(500);
  }
}

try {
  const { job } = await submitJob(
    {
      requestId: randomUUID(), // the same id gives the same job, however often this is sent
      spec: {
        type: "files.checksum",
        parameters: { path: { stringValue: directory }, passes: { intValue: 2 } },
        labels: { from: "node" },
      },
    },
    { deadline: Date.now() + 30_000 },
  );
  console.error(`submitted ${job.jobId}`);
  for await (const update of watch(job.jobId)) {
    if (update.event?.statusChanged) console.error(update.event.status.replace("JOB_STATUS_", ""));
    if (update.event?.messageLogged) console.error(update.event.messageLogged.text);
    if (update.progress) console.error(`${update.progress.done} of ${update.progress.total ?? "?"}`);
    if (update.finished?.status === "JOB_STATUS_SUCCEEDED") {
      const { result } = update.finished;
      console.log(result[result.kind]); // result.kind is "stringValue"
    } else if (update.finished) {
      console.error(`${update.finished.status}: ${update.finished.error?.message ?? ""}`);
      process.exitCode = 1;
    }
  }
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  jobs.close();
}
