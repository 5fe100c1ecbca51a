/** Debian control data: package lists and the output of `apt-cache show` (deb822(5)). */

/** The fields of one paragraph, by lower-case name. Continuation lines are joined with newlines. */
export type Paragraph = ReadonlyMap<string, string>;

/** Reads paragraphs one at a time; lines which are not control data are passed over. */
export function* parseControl(text: string): Generator<Paragraph> {
  let fields = new Map<string, string>();
  let last = "";
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      if (fields.size > 0) yield fields;
      fields = new Map();
      last = "";
    } else if (/^[ \t]/.test(line)) {
      if (last !== "") fields.set(last, `${fields.get(last)}\n${line.trim()}`);
    } else {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      last = line.slice(0, colon).toLowerCase();
      fields.set(last, line.slice(colon + 1).trim());
    }
  }
  if (fields.size > 0) yield fields;
}

/** Names of the packages in a dependency field, the first alternative of each. */
export function dependencyNames(field: string): string[] {
  return field
    .split(",")
    .map((dependency) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(dependency)?.[1] ?? "")
    .filter((name) => name !== "");
}
