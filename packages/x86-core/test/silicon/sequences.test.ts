import { Pool } from "./generate.js";
import { Random } from "./random.js";
import { SequenceMaker } from "./sequences.js";
import { hostFeatures } from "./shapes.js";
import { compareCases } from "./suite.js";

const source = (run: number) => (seed: number) => {
  const random = new Random(seed);
  return new SequenceMaker(random, new Pool(random), hostFeatures(), run);
};
compareCases("sequences in the interpreter", "interpreter", 150_000, 1, source(4));
compareCases("sequences as emitted blocks", "blocks", 60_000, 1, source(16));
