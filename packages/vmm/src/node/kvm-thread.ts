import { workerData } from "node:worker_threads";
import { runAlarm } from "../kvm/alarm.js";
import { runVcpu } from "../kvm/vcpu-thread.js";
import { type HelperData, threadNumber } from "./kvm-host.js";

// A thread that helps the one of a KVM machine; it ends with it.
const { job, thread } = workerData as HelperData;
thread[0] = threadNumber();
if (job.kind === "alarm") runAlarm(job.vcpu, job.buffer, () => process.hrtime.bigint());
else runVcpu(job);
