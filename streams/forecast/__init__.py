"""The forecast worker: from prices to forecasts of the hours ahead, where no auction prices them."""
