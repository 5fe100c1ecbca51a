/** A moment of the proleptic Gregorian calendar, UTC or whatever zone the guest keeps its clock in. */
export interface CivilTime {
  year: number;
  /** 1-12. */
  month: number;
  /** 1-31. */
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const DAY = 86_400;
/** Days of 400 years. */
const ERA = 146_097;

/** Seconds since 1970-01-01; fields beyond their range carry over. */
export function toSeconds(time: CivilTime): number {
  // Years begin in March here, so that the leap day comes last.
  const months = time.year * 12 + time.month - 3;
  const year = Math.floor(months / 12);
  const month = months - year * 12;
  const dayOfYear = Math.floor((153 * month + 2) / 5) + time.day - 1;
  const days =
    year * 365 + Math.floor(year / 4) - Math.floor(year / 100) + Math.floor(year / 400) + dayOfYear - 719_468;
  return days * DAY + time.hour * 3600 + time.minute * 60 + time.second;
}

export function fromSeconds(seconds: number): CivilTime {
  const day = Math.floor(seconds / DAY);
  const rest = seconds - day * DAY;
  const shifted = day + 719_468;
  const era = Math.floor(shifted / ERA);
  const dayOfEra = shifted - era * ERA;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / (ERA - 1))) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const month = Math.floor((5 * dayOfYear + 2) / 153);
  return {
    year: era * 400 + yearOfEra + (month >= 10 ? 1 : 0),
    month: month < 10 ? month + 3 : month - 9,
    day: dayOfYear - Math.floor((153 * month + 2) / 5) + 1,
    hour: Math.floor(rest / 3600),
    minute: Math.floor(rest / 60) % 60,
    second: rest % 60,
  };
}

/** 1 = Sunday to 7 = Saturday, as the RTC counts. */
export function dayOfWeek(seconds: number): number {
  const day = Math.floor(seconds / DAY) + 4;
  return (((day % 7) + 7) % 7) + 1;
}
