import { type Opcode, opcode, type WasmType } from "./opcodes.js";
import type { Sink } from "./sink.js";

/**
 * A value of the code under construction: a node of an expression graph.
 *
 * Pure nodes are computed where they are first needed, or once into a local when needed more than once. Nodes that
 * observe or change something (loads, calls) keep their place in the program.
 */
export class Val {
  uses = 0;
  local = -1;
  constructor(
    readonly type: WasmType,
    readonly make: Producer,
    readonly inputs: readonly Val[],
    /** Stays where it was created: reads memory or a variable. */
    readonly pinned: boolean,
  ) {}
}

type Producer =
  | { kind: "op"; opcode: Opcode; lane?: number }
  | { kind: "load"; opcode: Opcode; offset: number }
  | { kind: "const"; value: number | bigint | Uint8Array }
  | { kind: "shuffle"; lanes: Uint8Array }
  | { kind: "local"; index: number }
  | { kind: "variable"; variable: Variable }
  | { kind: "select" };

/** A mutable local. */
export class Variable {
  index: number;
  constructor(
    readonly type: WasmType,
    readonly owner: Code,
    /** A parameter's number, when the variable is one. */
    index = -1,
  ) {
    this.index = index;
  }
  get(): Val {
    return this.owner.place(new Val(this.type, { kind: "variable", variable: this }, [], true));
  }
  set(value: Val): void {
    this.owner.statement({ kind: "set", variable: this, value });
  }
}

/** A place that `leave` statements can go to. */
export interface Label {
  readonly kind: "block" | "loop";
}

type Statement =
  | { kind: "node"; node: Val }
  | { kind: "set"; variable: Variable; value: Val }
  | { kind: "store"; opcode: Opcode; offset: number; address: Val; value: Val }
  | { kind: "if"; condition: Val; body: Statement[]; otherwise: Statement[] }
  | { kind: "block"; label: Label; body: Statement[] }
  | { kind: "branch"; label: Label; condition?: Val }
  | { kind: "call"; index: number; inputs: readonly Val[]; results: readonly Variable[] }
  | { kind: "callIndirect"; type: number; inputs: readonly Val[]; results: readonly Variable[] }
  | { kind: "return"; values: readonly Val[] };

/**
 * The body of one WebAssembly function under construction: expressions, structured control flow, then `emit`.
 *
 * Type errors throw at construction: a wrong operand is a mistake of the code generator and shows at once.
 */
export class Code {
  #statements: Statement[] = [];
  readonly body = this.#statements;

  // --- values ---

  constant(type: WasmType, value: number | bigint | Uint8Array): Val {
    const canonical =
      type === "i32" ? Number(value) | 0 : type === "i64" ? BigInt.asIntN(64, BigInt(value as bigint)) : value;
    return new Val(type, { kind: "const", value: canonical }, [], false);
  }

  /** The function's parameter number `index`. It must not be assigned. */
  parameter(type: WasmType, index: number): Val {
    return new Val(type, { kind: "local", index }, [], false);
  }

  /** The same parameter as a variable, for code that runs again after assigning it. */
  parameterVariable(type: WasmType, index: number): Variable {
    return new Variable(type, this, index);
  }

  op(name: string, ...inputs: Val[]): Val {
    const code = opcode(name);
    if (code.immediate !== "none" || !code.result) throw new Error(`${name} is not a plain operation`);
    this.#check(code, inputs);
    return this.#fold(code, inputs) ?? this.place(new Val(code.result, { kind: "op", opcode: code }, inputs, false));
  }

  lane(name: string, lane: number, ...inputs: Val[]): Val {
    const code = opcode(name);
    if (code.immediate !== "lane" || !code.result) throw new Error(`${name} takes no lane`);
    this.#check(code, inputs);
    return this.place(new Val(code.result, { kind: "op", opcode: code, lane }, inputs, false));
  }

  shuffle(a: Val, b: Val, lanes: readonly number[]): Val {
    return this.place(new Val("v128", { kind: "shuffle", lanes: Uint8Array.from(lanes) }, [a, b], false));
  }

  select(condition: Val, whenTrue: Val, whenFalse: Val): Val {
    if (whenTrue.type !== whenFalse.type || condition.type !== "i32") throw new Error("select: operand types");
    if (condition.make.kind === "const") return condition.make.value ? whenTrue : whenFalse;
    // Only the untyped form is used, which excludes v128.
    if (whenTrue.type === "v128") {
      const variable = this.variable("v128", whenFalse);
      this.if(condition, () => variable.set(whenTrue));
      return variable.get();
    }
    return this.place(new Val(whenTrue.type, { kind: "select" }, [whenTrue, whenFalse, condition], false));
  }

  /** Reads memory at `address` + `offset`, here and now. */
  load(name: string, address: Val, offset = 0): Val {
    const code = opcode(name);
    if (code.immediate !== "memory" || !code.result) throw new Error(`${name} is not a load`);
    this.#check(code, [address]);
    return this.place(new Val(code.result, { kind: "load", opcode: code, offset }, [address], true));
  }

  variable(type: WasmType, initial?: Val): Variable {
    const variable = new Variable(type, this);
    if (initial) variable.set(initial);
    return variable;
  }

  // --- statements ---

  store(name: string, address: Val, value: Val, offset = 0): void {
    const code = opcode(name);
    this.#check(code, [address, value]);
    this.statement({ kind: "store", opcode: code, offset, address, value });
  }

  if(condition: Val, then: () => void, otherwise?: () => void): void {
    if (condition.type !== "i32") throw new Error("if: condition type");
    if (condition.make.kind === "const") {
      if (condition.make.value) then();
      else otherwise?.();
      return;
    }
    this.statement({
      kind: "if",
      condition,
      body: this.#nested(then),
      otherwise: otherwise ? this.#nested(otherwise) : [],
    });
  }

  /** A block that `branch(label)` leaves. */
  block(body: (label: Label) => void): void {
    const label: Label = { kind: "block" };
    this.statement({ kind: "block", label, body: this.#nested(() => body(label)) });
  }

  /** A loop that `branch(label)` starts again; it ends when its body ends. */
  loop(body: (label: Label) => void): void {
    const label: Label = { kind: "loop" };
    this.statement({ kind: "block", label, body: this.#nested(() => body(label)) });
  }

  branch(label: Label, condition?: Val): void {
    this.statement({ kind: "branch", label, condition });
  }

  /** Calls a function of the module; gives its results. */
  call(index: number, results: readonly WasmType[], ...inputs: Val[]): Val[] {
    const variables = results.map((type) => new Variable(type, this));
    this.statement({ kind: "call", index, inputs, results: variables });
    return variables.map((variable) => variable.get());
  }

  callIndirect(type: number, results: readonly WasmType[], element: Val, ...inputs: Val[]): Val[] {
    const variables = results.map((result) => new Variable(result, this));
    this.statement({ kind: "callIndirect", type, inputs: [...inputs, element], results: variables });
    return variables.map((variable) => variable.get());
  }

  return(value?: Val): void {
    this.returnMany(value ? [value] : []);
  }
  returnMany(values: readonly Val[]): void {
    this.statement({ kind: "return", values });
  }

  /** Whether control cannot reach what would be appended now. */
  get ended(): boolean {
    return leaves(this.#statements);
  }

  statement(statement: Statement): void {
    this.#statements.push(statement);
  }

  place(node: Val): Val {
    this.#statements.push({ kind: "node", node });
    return node;
  }

  #nested(build: () => void): Statement[] {
    const outer = this.#statements;
    const inner: Statement[] = [];
    this.#statements = inner;
    try {
      build();
    } finally {
      this.#statements = outer;
    }
    return inner;
  }

  #check(code: Opcode, inputs: readonly Val[]): void {
    const given = inputs.map((input) => input.type).join(" ");
    if (given !== code.parameters.join(" ")) {
      throw new Error(`${code.name} takes (${code.parameters.join(" ")}), not (${given})`);
    }
  }

  /** The constant results that decoding produces most: the block emitter knows its operands. */
  #fold(code: Opcode, inputs: readonly Val[]): Val | undefined {
    const values = inputs.map((input) => (input.make.kind === "const" ? input.make.value : undefined));
    const [a, b] = values;
    const isZero = (value: unknown) => value === 0 || value === 0n;
    switch (code.name) {
      case "i32.add":
      case "i64.add":
      case "i32.or":
      case "i64.or":
        if (isZero(b)) return inputs[0];
        if (isZero(a)) return inputs[1];
        break;
      case "i32.shl":
      case "i64.shl":
      case "i32.shr_u":
      case "i64.shr_u":
      case "i64.shr_s":
      case "i32.shr_s":
        if (isZero(b)) return inputs[0];
        break;
      case "i64.extend_i32_u":
        if (typeof a === "number") return this.constant("i64", BigInt(a >>> 0));
        break;
      case "i64.extend_i32_s":
        if (typeof a === "number") return this.constant("i64", BigInt(a));
        break;
      case "i32.wrap_i64":
        if (typeof a === "bigint") return this.constant("i32", Number(BigInt.asIntN(32, a)));
        break;
    }
    if (typeof a === "number" && typeof b === "number" && code.result === "i32") {
      if (code.name === "i32.and") return this.constant("i32", a & b);
      if (code.name === "i32.shl") return this.constant("i32", a << b);
      if (code.name === "i32.shr_u") return this.constant("i32", a >>> b);
      if (code.name === "i32.add") return this.constant("i32", a + b);
      if (code.name === "i32.eq") return this.constant("i32", a === b ? 1 : 0);
      if (code.name === "i32.ne") return this.constant("i32", a !== b ? 1 : 0);
    }
    if (code.name === "i32.eqz" && typeof a === "number") return this.constant("i32", a === 0 ? 1 : 0);
    return undefined;
  }

  /** Writes the body once; the locals it needs come from the pool. */
  emit(
    sink: Sink,
    locals: LocalPool,
    /** Depth, seen from just outside this body, of a label that the surrounding function owns. */
    outerDepth: (label: Label) => number = () => {
      throw new Error("branch to a label that is not around it");
    },
  ): void {
    countUses(this.body);
    new Emission(sink, locals, outerDepth).run(this.body);
  }
}

/** Locals by type; `release` lets the next piece of code in the same function use them again. */
export class LocalPool {
  readonly types: WasmType[] = [];
  readonly #free = new Map<WasmType, number[]>();
  readonly #taken: number[] = [];

  constructor(readonly parameterCount: number) {}

  take(type: WasmType): number {
    const index = this.#free.get(type)?.pop() ?? this.parameterCount + this.types.push(type) - 1;
    this.#taken.push(index);
    return index;
  }

  release(): void {
    for (const index of this.#taken.splice(0)) {
      const type = this.types[index - this.parameterCount];
      const list = this.#free.get(type);
      if (list) list.push(index);
      else this.#free.set(type, [index]);
    }
  }
}

/** Whether the last statement always goes elsewhere. */
function leaves(statements: readonly Statement[]): boolean {
  const last = statements.at(-1);
  if (last?.kind === "if") return leaves(last.body) && leaves(last.otherwise);
  return last?.kind === "return" || (last?.kind === "branch" && !last.condition);
}

function operands(statement: Statement): readonly Val[] {
  switch (statement.kind) {
    case "node":
    case "block":
      return [];
    case "set":
      return [statement.value];
    case "store":
      return [statement.address, statement.value];
    case "if":
      return [statement.condition];
    case "branch":
      return statement.condition ? [statement.condition] : [];
    case "call":
    case "callIndirect":
      return statement.inputs;
    case "return":
      return statement.values;
  }
}

function countUses(statements: readonly Statement[]): void {
  const use = (value: Val) => {
    if (value.uses++ === 0) for (const input of value.inputs) use(input);
  };
  for (const statement of statements) {
    for (const value of operands(statement)) use(value);
    if (statement.kind === "if") {
      countUses(statement.body);
      countUses(statement.otherwise);
    } else if (statement.kind === "block") countUses(statement.body);
  }
}

class Emission {
  readonly #labels: (Label | undefined)[] = [];

  constructor(
    readonly sink: Sink,
    readonly locals: LocalPool,
    readonly outerDepth: (label: Label) => number,
  ) {}

  run(statements: readonly Statement[]): void {
    for (const statement of statements) this.#statement(statement);
  }

  #statement(statement: Statement): void {
    const { sink } = this;
    switch (statement.kind) {
      case "node": {
        const { node } = statement;
        if (node.uses === 0 || (node.uses === 1 && !node.pinned)) return;
        this.#compute(node);
        node.local = this.locals.take(node.type);
        return sink.local("set", node.local);
      }
      case "set":
        this.#value(statement.value);
        return sink.local("set", this.#index(statement.variable));
      case "store":
        this.#value(statement.address);
        this.#value(statement.value);
        return sink.memory(statement.opcode, statement.offset);
      case "if":
        this.#value(statement.condition);
        sink.block("if");
        this.#labels.push(undefined);
        this.run(statement.body);
        if (statement.otherwise.length > 0) {
          sink.otherwise();
          this.run(statement.otherwise);
        }
        this.#labels.pop();
        return sink.end();
      case "block":
        sink.block(statement.label.kind);
        this.#labels.push(statement.label);
        this.run(statement.body);
        this.#labels.pop();
        return sink.end();
      case "branch": {
        if (statement.condition) this.#value(statement.condition);
        const position = this.#labels.lastIndexOf(statement.label);
        // A label that is not ours belongs to the function around this body, just outside it.
        const depth =
          position >= 0 ? this.#labels.length - 1 - position : this.#labels.length + this.outerDepth(statement.label);
        return sink.branch(statement.condition ? "br_if" : "br", depth);
      }
      case "call":
      case "callIndirect":
        for (const input of statement.inputs) this.#value(input);
        if (statement.kind === "call") sink.call(statement.index);
        else sink.callIndirect(statement.type);
        for (let i = statement.results.length - 1; i >= 0; i--) sink.local("set", this.#index(statement.results[i]));
        return;
      case "return":
        for (const value of statement.values) this.#value(value);
        return sink.control("return");
    }
  }

  #index(variable: Variable): number {
    if (variable.index < 0) variable.index = this.locals.take(variable.type);
    return variable.index;
  }

  #value(node: Val): void {
    if (node.local >= 0) this.sink.local("get", node.local);
    else this.#compute(node);
  }

  #compute(node: Val): void {
    const { sink } = this;
    for (const input of node.inputs) this.#value(input);
    const { make } = node;
    switch (make.kind) {
      case "op":
        return sink.plain(make.opcode, make.lane);
      case "load":
        return sink.memory(make.opcode, make.offset);
      case "const":
        return sink.constant(node.type, make.value);
      case "shuffle":
        return sink.shuffle(make.lanes);
      case "local":
        return sink.local("get", make.index);
      case "variable":
        return sink.local("get", this.#index(make.variable));
      case "select":
        return sink.control("select");
    }
  }
}
