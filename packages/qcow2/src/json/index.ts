/** A value in QEMU's JSON. */
export type QemuJson = null | boolean | number | string | QemuJson[] | { [key: string]: QemuJson };

/** Brackets and braces that may be open at once. */
const MAX_NESTING = 1024;

type TokenType = "{" | "}" | "[" | "]" | ":" | "," | "number" | "string" | "keyword";

interface Token {
  readonly type: TokenType;
  readonly text: string;
}

const SPACE = /[ \t\r\n]*/y;
/** Strings end at the quote that they begin with; control characters are not allowed. */
const STRING = /(["'])(?:(?!\1)[ -[\]-\u{10ffff}]|\\[ -\u{10ffff}])*/uy;
const KEYWORD = /[a-z]+/y;
const INTEGER = /-?(?:0|[1-9][0-9]*)/y;
const DIGITS = /[0-9]+/y;
const EXPONENT = /[eE][-+]?/y;
/** What may stand behind a backslash, and what it is for. */
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

const failure = (what: string): SyntaxError => new SyntaxError(`JSON parse error, ${what}`);

/**
 * Reads the JSON of QEMU's command lines and of `json:` names: strings may be in single quotes (which spares escapes in
 * shells), and no key may come twice. The messages are QEMU's.
 * @throws SyntaxError
 */
export function parseQemuJson(text: string): QemuJson {
  const lexer = new Lexer(text);
  const tokens = lexer.group();
  if (tokens.length === 0) throw new SyntaxError("Expecting a JSON value");
  const value = new Parser(tokens).value();
  if (!lexer.atEnd()) throw new SyntaxError("Expecting at most one JSON value");
  return value;
}

class Lexer {
  #at = 0;

  constructor(private readonly text: string) {}

  atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.text.length;
  }

  /** The tokens up to where all that was opened is closed, or to the end. */
  group(): Token[] {
    const tokens: Token[] = [];
    let braces = 0;
    let brackets = 0;
    while (!this.atEnd()) {
      const token = this.#token();
      if (token.type === "{") braces++;
      else if (token.type === "}") braces--;
      else if (token.type === "[") brackets++;
      else if (token.type === "]") brackets--;
      if (braces + brackets > MAX_NESTING) throw new SyntaxError("JSON nesting depth limit exceeded");
      tokens.push(token);
      if (braces < 0 || brackets < 0 || braces + brackets === 0) break;
    }
    return tokens;
  }

  #token(): Token {
    const start = this.#at;
    const next = this.text[start];
    if ("{}[]:,".includes(next)) {
      this.#at++;
      return { type: next as TokenType, text: next };
    }
    let type: TokenType;
    if (this.#match(KEYWORD)) type = "keyword";
    else if (this.#match(STRING)) {
      if (this.text[this.#at] !== next) this.#stray(start);
      this.#at++;
      type = "string";
    } else {
      this.#number(start);
      type = "number";
    }
    return { type, text: this.text.slice(start, this.#at) };
  }

  #number(start: number): void {
    if (!this.#match(INTEGER)) {
      if (this.text[start] === "-") this.#at++;
      this.#stray(start);
    }
    const leadingZero = /^-?0$/.test(this.text.slice(start, this.#at));
    if (leadingZero && /[0-9]/.test(this.text[this.#at] ?? "")) this.#stray(start);
    if (this.text[this.#at] === ".") {
      this.#at++;
      if (!this.#match(DIGITS)) this.#stray(start);
    }
    if (this.#match(EXPONENT) && !this.#match(DIGITS)) this.#stray(start);
  }

  /** What was read from `start` on, with the character that does not fit. */
  #stray(start: number): never {
    throw failure(`stray '${this.text.slice(start, this.#at + 1)}'`);
  }

  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const found = pattern.test(this.text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }
}

class Parser {
  #at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  value(): QemuJson {
    const { type, text } = this.#next();
    switch (type) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case "string":
        return unquote(text);
      case "number":
        return Number(text);
      case "keyword":
        if (text === "true") return true;
        if (text === "false") return false;
        if (text === "null") return null;
        throw failure(`invalid keyword '${text}'`);
      default:
        throw failure("expecting value");
    }
  }

  #next(): Token {
    if (this.#at === this.tokens.length) throw failure("premature EOI");
    return this.tokens[this.#at++];
  }

  #ends(type: TokenType): boolean {
    const { type: next } = this.#next();
    if (next !== type) this.#at--;
    return next === type;
  }

  #object(): QemuJson {
    // Without a prototype, so that every key is just a key.
    const result: { [key: string]: QemuJson } = Object.create(null);
    if (this.#ends("}")) return result;
    for (;;) {
      const key = this.value();
      if (typeof key !== "string") throw failure("key is not a string in object");
      if (this.#next().type !== ":") throw failure("missing : in object pair");
      const value = this.value();
      if (key in result) throw failure("duplicate key");
      result[key] = value;
      if (this.#ends("}")) return result;
      if (this.#next().type !== ",") throw failure("expected separator in dict");
    }
  }

  #array(): QemuJson {
    const result: QemuJson[] = [];
    if (this.#ends("]")) return result;
    for (;;) {
      result.push(this.value());
      if (this.#ends("]")) return result;
      if (this.#next().type !== ",") throw failure("expected separator in list");
    }
  }
}

/** The content of a string in quotes. */
function unquote(text: string): string {
  let result = "";
  for (let at = 1; at < text.length - 1; ) {
    if (text[at] !== "\\") {
      result += text[at++];
    } else if (text[at + 1] === "u") {
      const { character, end } = unicodeEscape(text, at);
      result += character;
      at = end;
    } else {
      const character = ESCAPES[text[at + 1]];
      if (character === undefined) throw failure("invalid escape sequence in string");
      result += character;
      at += 2;
    }
  }
  return result;
}

/** `\uXXXX`, or two of them for a character beyond the first 65,536. */
function unicodeEscape(text: string, at: number): { character: string; end: number } {
  const unit = (from: number): number => {
    const digits = text.slice(from + 2, from + 6);
    return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
  };
  let point = unit(at);
  let end = at + 6;
  if (isBetween(point, 0xd800, 0xdbff) && text.startsWith("\\u", end)) {
    const low = unit(end);
    point = isBetween(low, 0xdc00, 0xdfff) ? 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff) : Number.NaN;
    if (!Number.isNaN(point)) end += 6;
  }
  // Neither halves of characters nor what Unicode will never define (section 23.7).
  const never = isBetween(point, 0xfdd0, 0xfdef) || (point & 0xfffe) === 0xfffe;
  if (Number.isNaN(point) || isBetween(point, 0xd800, 0xdfff) || never)
    throw failure(`${text.slice(at, end)} is not a valid Unicode character`);
  return { character: String.fromCodePoint(point), end };
}

const isBetween = (value: number, low: number, high: number): boolean => value >= low && value <= high;
