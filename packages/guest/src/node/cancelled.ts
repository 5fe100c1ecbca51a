import { GuestError } from "../errors.js";

export const cancelled = () => new GuestError("cancelled", "The obtaining of the guest was cancelled.");
