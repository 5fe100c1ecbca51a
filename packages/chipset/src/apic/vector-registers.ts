import { copyState } from "../state.js";
import { Reg } from "./registers.js";
import { addVector, emptyVectorSet, hasVector, highestVector, removeVector } from "./vector-set.js";

function initialState() {
  return { irr: emptyVectorSet(), isr: emptyVectorSet(), tmr: emptyVectorSet() };
}

/** State of IRR, ISR and TMR. */
export type VectorRegistersState = ReturnType<typeof initialState>;

/** IRR, ISR and TMR, and the priorities that follow from them (Intel SDM vol. 3A, 11.8). */
export class VectorRegisters {
  #s = initialState();

  request(vector: number, level: boolean): void {
    if (level) addVector(this.#s.tmr, vector);
    else removeVector(this.#s.tmr, vector);
    addVector(this.#s.irr, vector);
  }

  /** The requested vector whose class exceeds the processor priority, -1 when there is none. */
  deliverable(tpr: number): number {
    const vector = highestVector(this.#s.irr);
    return vector >= 0 && vector >> 4 > this.processorPriority(tpr) >> 4 ? vector : -1;
  }

  /** Moves a vector from IRR to ISR. */
  take(vector: number): void {
    removeVector(this.#s.irr, vector);
    addVector(this.#s.isr, vector);
  }

  /** Ends the highest vector in service and returns it, -1 when there is none. */
  end(): number {
    const vector = highestVector(this.#s.isr);
    if (vector >= 0) removeVector(this.#s.isr, vector);
    return vector;
  }

  isLevel(vector: number): boolean {
    return hasVector(this.#s.tmr, vector);
  }

  /** PPR. */
  processorPriority(tpr: number): number {
    const inService = highestVector(this.#s.isr);
    return inService >= 0 && inService >> 4 > tpr >> 4 ? inService & 0xf0 : tpr;
  }

  /** APR. */
  arbitrationPriority(tpr: number): number {
    const request = Math.max(0, highestVector(this.#s.irr)) >> 4;
    const service = Math.max(0, highestVector(this.#s.isr)) >> 4;
    const task = tpr >> 4;
    return task >= request && task > service ? tpr : Math.max(task, service, request) << 4;
  }

  /** The register at an offset between ISR0 and IRR7. */
  word(offset: number): number {
    const { irr, isr, tmr } = this.#s;
    const bank = offset < Reg.Tmr ? isr : offset < Reg.Irr ? tmr : irr;
    return bank[(offset >> 4) & 7];
  }

  reset(): void {
    this.#s = initialState();
  }

  save(): VectorRegistersState {
    return copyState(this.#s, this.#s, "vectors");
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "local-apic.state.vectors");
  }
}
