import { Pool } from "./generate.js";
import { Random } from "./random.js";
import { RandomCodeMaker } from "./random-code.js";
import { hostFeatures } from "./shapes.js";
import { compareCases } from "./suite.js";

compareCases("random bytes", "interpreter", 200_000, 300, (seed) => {
  const random = new Random(seed);
  return new RandomCodeMaker(random, new Pool(random), hostFeatures());
});
