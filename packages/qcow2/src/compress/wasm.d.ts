/** In base64. */
declare module "*.wasm" {
  const text: string;
  export default text;
}
