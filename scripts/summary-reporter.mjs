/** A vitest reporter whose last line is the plain `N passed, N failed` that scripts and people look for. */
export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state in counts) counts[state]++;
      }
    }
    // The checks that `npm test` made before the tests: lint, build, types, packages.
    const checks = JSON.parse(process.env.SOFTMETAL_CHECKS ?? '{"passed":0,"failed":0}');
    if (counts.skipped > 0) process.stdout.write(`\n${counts.skipped} skipped`);
    process.stdout.write(`\n${counts.passed + checks.passed} passed, ${counts.failed + checks.failed} failed\n`);
  }
}
